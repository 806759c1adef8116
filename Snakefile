"""The study as a graph of jobs: `snakemake --cores all reproduce` (see README.md)."""

from snakemake.utils import min_version

min_version("9.10")


configfile: "config/cpu.yaml"


# Software comes from the active environment; the image is used with `--sdm apptainer` alone
# (docs/containers.md explains how to build it).
container: "g2vlm.sif"


include: "workflow/rules/session.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/render.smk"
include: "workflow/rules/encode.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/gate.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/verify.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/record.smk"
include: "workflow/rules/studies.smk"


for name in OWN_RULES:

    include: f"baselines/{name}/rules.smk"


rule reproduce:
    default_target: True
    input:
        REPORT_FILES,
        f"{RESULTS}/manifest.json",
        f"{RESULTS}/metrics.json",
        f"{RESULTS}/crate.zip",
