"""Studies beside the main comparison, each a target of its own: `snakemake robustness`."""

from g2vlm.inference.corrupt import conditions

ASKED = config["studies"]
REFERENCE_METHOD = config["statistics"]["reference"]
SPOILED = [one for one in ASKED["robustness"]["methods"] if one in METHODS]
CONDITIONS = [one.name for one in conditions(ASKED["robustness"])]
COMPARED = [one for one in ASKED["subgroups"]["methods"] if one in METHODS]
# {condition: {method: trained name}}
RATES = studies.tuning_trainings(config)
RATED = [trained for found in RATES.values() for trained in found.values()]
TRIALS = range(ASKED["tuning"]["seeds"])


rule choose:
    input:
        scenes=scenes("val"),
        features=features("val"),
        model=f"{RESULTS}/models/{{variant}}/{{seed}}/model.safetensors",
        model_config=f"{RESULTS}/models/{{variant}}/{{seed}}/config.json",
    output:
        f"{RESULTS}/studies/thresholds/{{variant}}/{{seed}}.json",
    log:
        f"{RESULTS}/logs/choose/{{variant}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/choose/{{variant}}-{{seed}}.tsv"
    threads: 1
    resources:
        mem_mb=grows(1200, 20, count_scenes("val")),
        runtime=grows(30, 0.1, count_scenes("val")),
        gpu=one_gpu,
    params:
        predict=config["predict"],
        code=job_code("choose"),
    script:
        "../scripts/choose.py"


rule judge:
    input:
        scenes=lambda wildcards: scenes(wildcards.split),
        features=lambda wildcards: features(wildcards.split),
        model=f"{RESULTS}/models/{{trained}}/{{seed}}/model.safetensors",
        model_config=f"{RESULTS}/models/{{trained}}/{{seed}}/config.json",
        probe=f"{RESULTS}/models/{{trained}}/{{seed}}/probe.safetensors",
        cost=f"{RESULTS}/models/{{trained}}/{{seed}}/cost.json",
        thresholds=thresholds_of,
        truth=truth("{split}"),
        prepared=f"{RESULTS}/truth/{{split}}/prepared.safetensors",
    output:
        f"{RESULTS}/studies/scores/{{split}}/{{trained}}/{{seed}}.parquet",
    log:
        f"{RESULTS}/logs/judge/{{split}}-{{trained}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge/{{split}}-{{trained}}-{{seed}}.tsv"
    threads: 1
    resources:
        mem_mb=grows(1200, 20, in_split),
        runtime=grows(30, 0.1, in_split),
        gpu=one_gpu,
    params:
        metrics=ASKED["metrics"],
        predict=config["predict"],
        code=job_code("judge"),
    script:
        "../scripts/judge.py"


rule data_efficiency:
    input:
        judged(
            dict.fromkeys(
                trained
                for found in studies.data_efficiency_trainings(config).values()
                for method, trained in found.items()
                if method in METHODS
            )
        ),
    output:
        study_files("data_efficiency"),
    log:
        f"{RESULTS}/logs/data_efficiency.log",
    benchmark:
        f"{RESULTS}/benchmarks/data_efficiency.tsv"
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        metrics=ASKED["metrics"],
        shares=studies.data_efficiency_trainings(config),
        reference=REFERENCE_METHOD,
        code=job_code("study"),
    script:
        "../scripts/study.py"


rule loss_balance:
    input:
        judged(
            [
                name
                for name in studies.loss_balance_trainings(config).values()
                if name in VARIANTS
            ],
            range(ASKED["loss_balance"]["seeds"]),
        ),
    output:
        study_files("loss_balance"),
    log:
        f"{RESULTS}/logs/loss_balance.log",
    benchmark:
        f"{RESULTS}/benchmarks/loss_balance.tsv"
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        metrics=ASKED["metrics"],
        variants=studies.loss_balance_trainings(config),
        method=ASKED["loss_balance"]["method"],
        code=job_code("study"),
    script:
        "../scripts/study.py"


rule spoil:
    input:
        scenes=scenes(JUDGED_ON),
        features=features(JUDGED_ON),
        model=f"{RESULTS}/models/{{trained}}/{{seed}}/model.safetensors",
        probe=f"{RESULTS}/models/{{trained}}/{{seed}}/probe.safetensors",
        thresholds=f"{RESULTS}/predictions/{{trained}}/{{seed}}/thresholds.json",
        truth=truth(JUDGED_ON),
        prepared=f"{RESULTS}/truth/{JUDGED_ON}/prepared.safetensors",
    output:
        [
            f"{RESULTS}/studies/robustness/scores/{condition}/{{trained}}/{{seed}}.parquet"
            for condition in CONDITIONS
        ],
    log:
        f"{RESULTS}/logs/spoil/{{trained}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/spoil/{{trained}}-{{seed}}.tsv"
    threads: 1
    resources:
        mem_mb=grows(2000, 20, SPLITS[JUDGED_ON]),
        runtime=grows(60, 1, SPLITS[JUDGED_ON]),
        gpu=one_gpu,
    params:
        metrics=ASKED["metrics"],
        asked=ASKED["robustness"],
        split=JUDGED_ON,
        sensor=config["render"]["sensor"],
        predict=config["predict"],
        encoder=config["encode"]["image"],
        code=job_code("spoil"),
    script:
        "../scripts/spoil.py"


rule robustness:
    input:
        scores=[
            f"{RESULTS}/studies/robustness/scores/{condition}/{method}/{seed}.parquet"
            for condition in CONDITIONS
            for method in SPOILED
            for seed in SEEDS
        ],
        nominal=judged(SPOILED),
    output:
        study_files("robustness"),
    log:
        f"{RESULTS}/logs/robustness.log",
    benchmark:
        f"{RESULTS}/benchmarks/robustness.tsv"
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        metrics=ASKED["metrics"],
        asked=ASKED["robustness"],
        code=job_code("study"),
    script:
        "../scripts/study.py"


rule subgroups:
    input:
        scores=judged(COMPARED),
        truth=f"{RESULTS}/truth/{JUDGED_ON}/annotations.jsonl",
        train=scenes("train", kinds=["jsonl"]),
    output:
        study_files("subgroups"),
    log:
        f"{RESULTS}/logs/subgroups.log",
    benchmark:
        f"{RESULTS}/benchmarks/subgroups.tsv"
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        reference=REFERENCE_METHOD,
        methods=COMPARED,
        code=job_code("study"),
    script:
        "../scripts/study.py"


rule tuning:
    input:
        **{
            "val": [
                f"{RESULTS}/studies/scores/val/{trained}/{seed}.parquet"
                for trained in RATED
                for seed in TRIALS
            ],
            JUDGED_ON: judged(RATED, TRIALS),
        },
    output:
        study_files("tuning"),
    log:
        f"{RESULTS}/logs/tuning.log",
    benchmark:
        f"{RESULTS}/benchmarks/tuning.tsv"
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        metrics=ASKED["metrics"],
        rates=RATES,
        reference=REFERENCE_METHOD,
        code=job_code("study"),
    script:
        "../scripts/study.py"
