rule text_only:
    input:
        **baseline_inputs("text_only"),
    output:
        submission("text_only"),
    log:
        f"{RESULTS}/logs/predict/text_only-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/text_only-{{seed}}.tsv"
    threads: 1
    params:
        name="text_only",
        splits=ANSWERED,
        seed=config["seed"],
        code=code_hash("baselines.text_only.method", "baselines.__main__"),
    script:
        "../job.py"
