"""Collect the sentences of the experiment in parts that are encoded one by one."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.text_encoders import write_texts

    write_texts(list(task.input), list(task.output))
