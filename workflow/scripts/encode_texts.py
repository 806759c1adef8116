"""Encode every sentence of the experiment with the frozen encoder."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.text_encoders import encode_texts

    encode_texts(
        list(task.input),
        task.results / "features",
        task.params.encoder,
        task.threads,
        task.progress("texts"),
    )
