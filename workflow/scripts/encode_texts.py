"""Encode every sentence of the experiment with the frozen encoder."""

from pathlib import Path

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.text_encoders import encode_texts
    from g2vlm.run.progress import Progress

    encode_texts(
        list(task.input),
        Path(task.output.states).parent,
        task.params.encoder,
        task.threads,
        Progress("texts"),
    )
