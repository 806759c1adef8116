rule tsdf_fusion:
    input:
        **baseline_inputs("tsdf_fusion"),
    output:
        submission("tsdf_fusion"),
    log:
        f"{RESULTS}/logs/predict/tsdf_fusion-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/tsdf_fusion-{{seed}}.tsv"
    threads: 1
    params:
        name="tsdf_fusion",
        splits=ANSWERED,
        seed=config["seed"],
        code=code_hash("baselines.tsdf_fusion.method", "baselines.__main__"),
    script:
        "../job.py"
