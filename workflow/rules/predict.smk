"""Trained models answer the validation and test splits; thresholds come from validation."""


rule predict:
    input:
        scenes=scenes(*ANSWERED),
        features=features(*ANSWERED),
        model=f"{RESULTS}/models/{{trained}}/{{seed}}/model.safetensors",
        model_config=f"{RESULTS}/models/{{trained}}/{{seed}}/config.json",
        cost=f"{RESULTS}/models/{{trained}}/{{seed}}/cost.json",
    output:
        submissions=submission("{trained}"),
        thresholds=f"{RESULTS}/predictions/{{trained}}/{{seed}}/thresholds.json",
    log:
        f"{RESULTS}/logs/predict/{{trained}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/{{trained}}-{{seed}}.tsv"
    threads: 1
    params:
        predict=config["predict"],
        code=code_hash("g2vlm.inference.predict"),
    script:
        "../scripts/predict.py"
