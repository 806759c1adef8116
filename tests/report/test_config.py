"""The order of methods and splits comes from the config."""

import re
from dataclasses import replace

from metrics.statistics.families import parse_families
from tests.metrics.statistics import synthetic
from tests.paths import REPOSITORY


def test_unlisted_methods_come_between_baselines_and_controls(config):
    methods = ["oracle", "zebra", "text_only", "tsdf_fusion", "apple", "no_depth", "full"]
    expected = ["full", "no_depth", "tsdf_fusion", "apple", "zebra", "text_only", "oracle"]
    assert config.order_methods(methods) == expected


def test_the_main_split_is_first_and_captured_rooms_are_last(config):
    splits = ["real_rooms", "dev_asset", "zoo", "dev_scene"]
    assert config.order_splits(splits) == ["dev_scene", "dev_asset", "zoo", "real_rooms"]
    other = replace(config, main_split="zoo", captured_split="dev_asset")
    assert other.order_splits(splits) == ["zoo", "dev_scene", "real_rooms", "dev_asset"]


def test_claims_name_families_that_are_declared(config):
    assert {claim.family for claim in config.claims} <= set(config.families)
    declared = parse_families(synthetic.CONFIG["families"])
    assert {(c.family, c.name) for c in config.claims} == {(c.family, c.name) for c in declared}
    assert config.sentence("none", "big_gain") == "Big gain"
    assert {config.lower_bound, config.upper_bound} <= set(config.controls)
    assert set(config.short_names) <= set(config.headline)


def test_the_code_names_no_method_and_no_split(config):
    names = {*config.methods, *config.controls, config.main_split, config.captured_split}
    # These are also ordinary words; `np.full` is one of them.
    names -= {"full", "chance", "oracle", "majority"}
    word = re.compile(r"\b(" + "|".join(sorted(names)) + r")\b")
    for path in (REPOSITORY / "report").rglob("*.py"):
        assert not word.search(path.read_text(encoding="utf-8")), path
