"""Encode one part of the experiment's sentences with the frozen encoder."""

from g2vlm.run.job import job

with job(snakemake) as task:
    from g2vlm.features.text_encoders import encode_texts

    encode_texts(
        task.input[0],
        task.output[0],
        task.params.encoder,
        task.threads,
        task.progress("texts"),
    )
