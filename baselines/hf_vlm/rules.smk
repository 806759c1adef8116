rule hf_vlm:
    input:
        **baseline_inputs("hf_vlm"),
    output:
        submission("hf_vlm"),
    log:
        f"{RESULTS}/logs/predict/hf_vlm-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/hf_vlm-{{seed}}.tsv"
    threads: 4
    resources:
        gpu=one_gpu,
    params:
        name="hf_vlm",
        splits=ANSWERED,
        seed=config["seed"],
        weights=str(PRETRAINED["hf_vlm"]),
        code=code_hash("baselines.hf_vlm.method", "baselines.__main__"),
    script:
        "../job.py"
