"""Run the frozen image and text encoders, once; no other job loads them."""


rule encode_images:
    input:
        f"{RESULTS}/scenes/{{split}}/{{shard}}.safetensors",
        f"{RESULTS}/scenes/{{split}}/{{shard}}.jsonl",
    output:
        temp(f"{RESULTS}/features/images/{{split}}/{{shard}}.safetensors"),
    log:
        f"{RESULTS}/logs/encode/images-{{split}}-{{shard}}.log",
    resources:
        # The encoder sees four views at a time, four times as large; CUDA holds 2 GB by itself.
        mem_mb=grows(3000 + 250 * IMAGE),
        runtime=grows(20 + 2 * IMAGE),
        gpu=one_gpu,
    params:
        encoder=config["encode"]["image"],
        code=job_code("encode_images"),
    script:
        "../scripts/encode_images.py"


rule texts:
    input:
        scenes(*OPEN_SPLITS, kinds=["jsonl"]),
    output:
        temp(
            expand(f"{RESULTS}/features/{TEXTS}/{{part}}.json", part=TEXT_PARTS[TEXTS])
        ),
    log:
        f"{RESULTS}/logs/encode/texts.log",
    resources:
        mem_mb=grows(500, 0.1, count_scenes(*OPEN_SPLITS)),
        runtime=grows(20, 0.001, count_scenes(*OPEN_SPLITS)),
    params:
        code=job_code("texts"),
    script:
        "../scripts/texts.py"


if SEALED_SPLITS:

    use rule texts as sealed_texts with:
        input:
            scenes(*SEALED_SPLITS, kinds=["jsonl"]),
        output:
            temp(
                expand(
                    f"{RESULTS}/features/{SEALED_TEXTS}/{{part}}.json",
                    part=TEXT_PARTS[SEALED_TEXTS],
                )
            ),
        log:
            f"{RESULTS}/logs/encode/sealed_texts.log",


rule encode_texts:
    input:
        f"{RESULTS}/features/{{texts}}/{{part}}.json",
    output:
        temp(f"{RESULTS}/features/{{texts}}/{{part}}.safetensors"),
    log:
        f"{RESULTS}/logs/encode/{{texts}}-{{part}}.log",
    resources:
        mem_mb=grows(3500),
        runtime=grows(30),
        gpu=one_gpu,
    params:
        encoder=config["encode"]["text"],
        code=job_code("encode_texts"),
    script:
        "../scripts/encode_texts.py"
