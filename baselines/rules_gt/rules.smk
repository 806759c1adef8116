rule rules_gt:
    input:
        **baseline_inputs("rules_gt"),
    output:
        submission("rules_gt"),
    log:
        f"{RESULTS}/logs/predict/rules_gt-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/rules_gt-{{seed}}.tsv"
    threads: 1
    params:
        name="rules_gt",
        splits=ANSWERED,
        seed=config["seed"],
        code=code_hash("baselines.rules_gt.method", "baselines.__main__"),
    script:
        "../job.py"
