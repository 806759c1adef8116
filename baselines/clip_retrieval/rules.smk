rule clip_retrieval:
    input:
        **baseline_inputs("clip_retrieval"),
    output:
        submission("clip_retrieval"),
    log:
        f"{RESULTS}/logs/predict/clip_retrieval-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/clip_retrieval-{{seed}}.tsv"
    threads: 4
    resources:
        gpu=one_gpu,
    params:
        name="clip_retrieval",
        splits=ANSWERED,
        seed=config["seed"],
        weights=str(PRETRAINED["clip_retrieval"]),
        code=code_hash("baselines.clip_retrieval.method", "baselines.__main__"),
    script:
        "../job.py"
