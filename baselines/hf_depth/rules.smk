rule hf_depth:
    input:
        **baseline_inputs("hf_depth"),
    output:
        submission("hf_depth"),
    log:
        f"{RESULTS}/logs/predict/hf_depth-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/hf_depth-{{seed}}.tsv"
    threads: 4
    resources:
        gpu=one_gpu,
    params:
        name="hf_depth",
        splits=ANSWERED,
        seed=config["seed"],
        weights=str(PRETRAINED["hf_depth"]),
        code=code_hash("baselines.hf_depth.method", "baselines.__main__"),
    script:
        "../job.py"
