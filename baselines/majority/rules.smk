rule majority:
    input:
        **baseline_inputs("majority"),
    output:
        submission("majority"),
    log:
        f"{RESULTS}/logs/predict/majority-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/majority-{{seed}}.tsv"
    threads: 1
    params:
        name="majority",
        splits=ANSWERED,
        seed=config["seed"],
        code=code_hash("baselines.majority.method", "baselines.__main__"),
    script:
        "../job.py"
