"""The studies, each a target of its own: `snakemake robustness`."""

from g2vlm.inference.corrupt import conditions

STUDIES = config["studies"]
REFERENCE_METHOD = config["statistics"]["reference"]
ROBUSTNESS_METHODS = [
    name for name in STUDIES["robustness"]["methods"] if name in METHODS
]
CONDITIONS = [condition.name for condition in conditions(STUDIES["robustness"])]
COMPARED = [name for name in STUDIES["subgroups"]["methods"] if name in METHODS]
# {condition: {method: trained name}}
RATES = studies.tuning_trainings(config)
RATED = [name for trainings in RATES.values() for name in trainings.values()]
TRIALS = range(STUDIES["tuning"]["seeds"])


rule calibrate:
    input:
        scenes=scenes("val"),
        features=features("val"),
        model=f"{RESULTS}/models/{{variant}}/{{seed}}/model.safetensors",
        model_config=f"{RESULTS}/models/{{variant}}/{{seed}}/config.json",
    output:
        thresholds=f"{RESULTS}/studies/thresholds/{{variant}}/{{seed}}.json",
    log:
        f"{RESULTS}/logs/calibrate/{{variant}}-{{seed}}.log",
    threads: 1
    resources:
        mem_mb=grows(1200, 20, count_scenes("val")),
        runtime=grows(30, 0.1, count_scenes("val")),
        gpu=one_gpu,
    params:
        predict=config["predict"],
        splits=[],
        code=job_code("predict"),
    script:
        "../scripts/predict.py"


rule evaluate:
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
        f"{RESULTS}/logs/evaluate/{{split}}-{{trained}}-{{seed}}.log",
    threads: 1
    resources:
        mem_mb=grows(1200, 20, in_split),
        runtime=grows(30, 0.1, in_split),
        gpu=one_gpu,
    params:
        metrics=STUDIES["metrics"],
        predict=config["predict"],
        code=job_code("evaluate"),
    script:
        "../scripts/evaluate.py"


rule data_efficiency:
    input:
        study_scores(
            dict.fromkeys(
                trained
                for trainings in studies.data_efficiency_trainings(config).values()
                for method, trained in trainings.items()
                if method in METHODS
            )
        ),
    output:
        study_files("data_efficiency"),
    log:
        f"{RESULTS}/logs/data_efficiency.log",
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        metrics=STUDIES["metrics"],
        shares=studies.data_efficiency_trainings(config),
        reference=REFERENCE_METHOD,
        code=job_code("study"),
    script:
        "../scripts/study.py"


rule loss_balance:
    input:
        study_scores(
            [
                name
                for name in studies.loss_balance_trainings(config).values()
                if name in VARIANTS
            ],
            range(STUDIES["loss_balance"]["seeds"]),
        ),
    output:
        study_files("loss_balance"),
    log:
        f"{RESULTS}/logs/loss_balance.log",
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        metrics=STUDIES["metrics"],
        variants=studies.loss_balance_trainings(config),
        method=STUDIES["loss_balance"]["method"],
        code=job_code("study"),
    script:
        "../scripts/study.py"


rule corrupt:
    input:
        scenes=scenes(STUDY_SPLIT),
        features=features(STUDY_SPLIT),
        model=f"{RESULTS}/models/{{trained}}/{{seed}}/model.safetensors",
        probe=f"{RESULTS}/models/{{trained}}/{{seed}}/probe.safetensors",
        thresholds=f"{RESULTS}/predictions/{{trained}}/{{seed}}/thresholds.json",
        truth=truth(STUDY_SPLIT),
        prepared=prepared(STUDY_SPLIT),
    output:
        [
            f"{RESULTS}/studies/robustness/scores/{condition}/{{trained}}/{{seed}}.parquet"
            for condition in CONDITIONS
        ],
    log:
        f"{RESULTS}/logs/corrupt/{{trained}}-{{seed}}.log",
    threads: 1
    resources:
        mem_mb=grows(2000, 20, SPLITS[STUDY_SPLIT]),
        runtime=grows(60, 1, SPLITS[STUDY_SPLIT]),
        gpu=one_gpu,
    params:
        metrics=STUDIES["metrics"],
        robustness=STUDIES["robustness"],
        split=STUDY_SPLIT,
        sensor=config["render"]["sensor"],
        predict=config["predict"],
        encoder=config["encode"]["image"],
        code=job_code("corrupt"),
    script:
        "../scripts/corrupt.py"


rule robustness:
    input:
        scores=[
            f"{RESULTS}/studies/robustness/scores/{condition}/{method}/{seed}.parquet"
            for condition in CONDITIONS
            for method in ROBUSTNESS_METHODS
            for seed in SEEDS
        ],
        nominal=study_scores(ROBUSTNESS_METHODS),
    output:
        study_files("robustness"),
    log:
        f"{RESULTS}/logs/robustness.log",
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        metrics=STUDIES["metrics"],
        robustness=STUDIES["robustness"],
        code=job_code("study"),
    script:
        "../scripts/study.py"


rule subgroups:
    input:
        scores=study_scores(COMPARED),
        truth=f"{RESULTS}/truth/{STUDY_SPLIT}/annotations.jsonl",
        train=scenes("train", kinds=["jsonl"]),
    output:
        study_files("subgroups"),
    log:
        f"{RESULTS}/logs/subgroups.log",
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
            STUDY_SPLIT: study_scores(RATED, TRIALS),
        },
    output:
        study_files("tuning"),
    log:
        f"{RESULTS}/logs/tuning.log",
    resources:
        mem_mb=grows(2000),
        runtime=grows(30),
    params:
        metrics=STUDIES["metrics"],
        rates=RATES,
        reference=REFERENCE_METHOD,
        code=job_code("study"),
    script:
        "../scripts/study.py"
