rule oracle:
    input:
        **baseline_inputs("oracle"),
    output:
        submission("oracle"),
    log:
        f"{RESULTS}/logs/predict/oracle-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/oracle-{{seed}}.tsv"
    threads: 1
    params:
        name="oracle",
        splits=ANSWERED,
        seed=config["seed"],
        code=code_hash("baselines.oracle.method", "baselines.__main__"),
    script:
        "../job.py"
