rule backprojection:
    input:
        **baseline_inputs("backprojection"),
    output:
        submission("backprojection"),
    log:
        f"{RESULTS}/logs/predict/backprojection-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/backprojection-{{seed}}.tsv"
    threads: 1
    params:
        name="backprojection",
        splits=ANSWERED,
        seed=config["seed"],
        code=code_hash("baselines.backprojection.method", "baselines.__main__"),
    script:
        "../job.py"
