"""Predict with trained models, and take in predictions that were made elsewhere."""


rule predict:
    input:
        scenes=scenes(*PREDICTED),
        features=features(*PREDICTED),
        model=f"{RESULTS}/models/{{trained}}/{{seed}}/model.safetensors",
        model_config=f"{RESULTS}/models/{{trained}}/{{seed}}/config.json",
        probe=f"{RESULTS}/models/{{trained}}/{{seed}}/probe.safetensors",
        cost=f"{RESULTS}/models/{{trained}}/{{seed}}/cost.json",
    output:
        submissions=submission("{trained}"),
        thresholds=f"{RESULTS}/predictions/{{trained}}/{{seed}}/thresholds.json",
    log:
        f"{RESULTS}/logs/predict/{{trained}}-{{seed}}.log",
    threads: 1
    resources:
        mem_mb=grows(1200, 5 * IMAGE, count_scenes(*PREDICTED)),
        runtime=grows(30, 0.05, count_scenes(*PREDICTED)),
        gpu=one_gpu,
    params:
        predict=config["predict"],
        splits=PREDICTED,
        code=job_code("predict"),
    script:
        "../scripts/predict.py"


if SEALED_SPLITS:

    use rule predict as predict_sealed with:
        input:
            scenes=scenes(*SEALED_SPLITS),
            features=features(*SEALED_SPLITS),
            model=rules.predict.input.model,
            model_config=rules.predict.input.model_config,
            probe=rules.predict.input.probe,
            cost=rules.predict.input.cost,
            thresholds=rules.predict.output.thresholds,
        output:
            submission("{trained}", SEALED_SPLITS),
        log:
            f"{RESULTS}/logs/predict_sealed/{{trained}}-{{seed}}.log",
        params:
            splits=SEALED_SPLITS,


rule outside_submission:
    input:
        lambda wildcards: [
            f"{OUTSIDE[wildcards.outside]}/{split}/manifest.json" for split in SCORED
        ],
    output:
        submissions=[
            f"{RESULTS}/predictions/{{outside}}/0/{split}/manifest.json"
            for split in SCORED
        ],
        records=[
            f"{RESULTS}/predictions/{{outside}}/0/{split}.valid.json"
            for split in SCORED
        ],
    log:
        f"{RESULTS}/logs/predict/{{outside}}-0.log",
    resources:
        mem_mb=grows(2000),
        runtime=grows(60),
    params:
        code=job_code("submission"),
    script:
        "../scripts/submission.py"
