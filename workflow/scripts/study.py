"""Gather one study's scores and write its tables and figure; the rule's name says which."""

from collections import Counter
from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from metrics.files import read_lines
    from report.studies import designs, page
    from report.studies.study import read_scores

    split, params = task.config["studies"]["split"], task.params
    if task.rule == "data_efficiency":
        scores = read_scores(task.input, split)
        study = designs.data_efficiency(scores, params.shares, params.reference, params.metrics)
    elif task.rule == "loss_balance":
        scores = read_scores(task.input, split)
        study = designs.loss_balance(scores, params.variants, params.method, params.metrics)
    elif task.rule == "tuning":
        tables = {name: read_scores(task.input[name], name) for name in ("val", split)}
        study = designs.tuning(tables, params.rates, params.reference, params.metrics)
    elif task.rule == "robustness":
        from g2vlm.inference.corrupt import conditions

        frames = {designs.NOMINAL: read_scores(task.input.nominal, split)}
        for condition in conditions(params.robustness):
            files = [name for name in task.input.scores if Path(name).parts[-3] == condition.name]
            frames[condition.label] = read_scores(files, split)
        study = designs.robustness(frames, params.metrics)
    else:
        counts = Counter(
            item["class"]
            for name in task.input.train
            for line in read_lines(Path(name))
            for item in line["objects"]
        )
        others = [name for name in params.methods if name != params.reference]
        scores = read_scores(task.input.scores, split)
        study = designs.subgroups(scores, task.input.truth, counts, params.reference, others)
    page.write(study, Path(task.output[0]).parent)
