"""The graph of a large study is built in time."""

import resource
import shutil

import pytest
import yaml

from tests.workflow import test_dag

METHODS, SEEDS, LIMIT_SECONDS = 50, 10, 60
SPLITS = ["val", "dev_scene", "dev_asset", "test_b", "test_c"]

clone = test_dag.clone


@pytest.mark.slow
def test_fifty_methods_ten_seeds_and_five_splits_build_within_a_minute(clone, tmp_path):
    root = tmp_path / "large"
    shutil.copytree(clone, root)
    # A study has four splits; this copy's schema lets it have two more.
    path = root / "workflow" / "schemas" / "config.schema.yaml"
    schema = yaml.safe_load(path.read_text())
    schema["$defs"]["split"]["enum"] += SPLITS[3:]
    counts = schema["properties"]["data"]["properties"]["splits"]["properties"]
    counts |= {split: {"$ref": "#/$defs/count"} for split in SPLITS[3:]}
    path.write_text(yaml.safe_dump(schema))
    names = ["full", *(f"method_{number}" for number in range(1, METHODS))]
    for name in names[1:]:
        shutil.copy(root / "config/methods/full.yaml", root / "config/methods" / f"{name}.yaml")
    large = {"experiment": "large", "methods": names, "seeds": SEEDS}
    large["data"] = {"splits": {split: 80 for split in SPLITS} | {"train": 600}}
    large |= {"predict": {"splits": [*SPLITS]}, "score": {"splits": [*SPLITS]}}
    (root / "large.yaml").write_text(yaml.safe_dump(large))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = test_dag.job_counts(test_dag.snakemake(root, "-n", "--configfile", "large.yaml"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert jobs["train"] == jobs["predict"] == METHODS * SEEDS
    # CPU seconds: other work on the machine does not count.
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent <= LIMIT_SECONDS
