"""The order of methods and splits comes from the config."""

from dataclasses import replace


def test_unlisted_methods_come_between_baselines_and_controls(config):
    methods = ["oracle", "zebra", "text_only", "tsdf_fusion", "apple", "no_depth", "full"]
    expected = ["full", "no_depth", "tsdf_fusion", "apple", "zebra", "text_only", "oracle"]
    assert config.order_methods(methods) == expected


def test_the_main_split_is_first_and_captured_rooms_are_last(config):
    splits = ["real_rooms", "test_asset", "zoo", "test_scene"]
    assert config.order_splits(splits) == ["test_scene", "test_asset", "zoo", "real_rooms"]
    other = replace(config, main_split="zoo", captured_split="test_asset")
    assert other.order_splits(splits) == ["zoo", "real_rooms", "test_scene", "test_asset"]


def test_claims_name_families_that_are_declared(config):
    assert {claim.family for claim in config.claims} <= set(config.families)
    assert {config.lower_bound, config.upper_bound} <= set(config.controls)
    assert set(config.short_names) <= set(config.headline)
