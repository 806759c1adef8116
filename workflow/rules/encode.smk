"""Run the frozen image and text encoders, once; no other job loads them."""


rule encode_images:
    input:
        lambda wildcards: scenes(wildcards.split),
    output:
        temp(f"{RESULTS}/features/images/{{split}}.safetensors"),
    log:
        f"{RESULTS}/logs/encode/images-{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/encode/images-{{split}}.tsv"
    resources:
        # The encoder sees four views at a time, four times as large; CUDA holds 2 GB by itself.
        mem_mb=grows(3000 + 250 * IMAGE, 2 * IMAGE, in_split),
        runtime=grows(20, 0.03 * IMAGE, in_split),
        gpu=one_gpu,
    params:
        encoder=config["encode"]["image"],
        code=job_code("encode_images"),
    script:
        "../scripts/encode_images.py"


rule encode_texts:
    input:
        scenes(*SPLITS, kinds=["jsonl"]),
    output:
        states=temp(f"{RESULTS}/features/text.safetensors"),
        texts=temp(f"{RESULTS}/features/text.json"),
    log:
        f"{RESULTS}/logs/encode/texts.log",
    benchmark:
        f"{RESULTS}/benchmarks/encode/texts.tsv"
    resources:
        mem_mb=grows(3500, 1.5, count_scenes(*SPLITS)),
        runtime=grows(20, 0.02, count_scenes(*SPLITS)),
        gpu=one_gpu,
    params:
        encoder=config["encode"]["text"],
        code=job_code("encode_texts"),
    script:
        "../scripts/encode_texts.py"
