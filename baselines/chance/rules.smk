rule chance:
    input:
        **baseline_inputs("chance"),
    output:
        submission("chance"),
    log:
        f"{RESULTS}/logs/predict/chance-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/chance-{{seed}}.tsv"
    threads: 1
    params:
        name="chance",
        splits=ANSWERED,
        seed=config["seed"],
        code=code_hash("baselines.chance.method", "baselines.__main__"),
    script:
        "../job.py"
