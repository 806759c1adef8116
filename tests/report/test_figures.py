"""Figures are drawn, agree with the numbers, and repeat byte for byte."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from metrics.statistics.moments import TRAININGS_AND_SCENES
from report import background, figures, statistics, style


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def ranked(stats_dir, config, tmp_path_factory):
    """Return the study with ranks and profiles of one metric, as the comparison writes them."""
    folder = tmp_path_factory.mktemp("ranked")
    for file in stats_dir.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    methods = ["full", "no_geometry", "minimal_3d_vlm", "tsdf_fusion"]
    ranks = pd.DataFrame({"method": methods, "mean_rank": [1.2, 3.9, 3.0, 1.9]})
    ranks = ranks.assign(split="dev_scene", subset="all", metric="fscore@5cm")
    ranks.assign(critical_difference=1.0).to_parquet(folder / "ranks.parquet")
    steps = np.linspace(0, 1, 11)
    curves = [
        pd.DataFrame({"threshold": steps, "share": np.clip(1 - steps * k, 0, 1), "method": method})
        for k, method in enumerate(methods, 1)
    ]
    curves = pd.concat(curves).assign(split="dev_scene", metric="fscore@5cm")
    curves.to_parquet(folder / "profiles.parquet")
    return statistics.load(folder, config)


def test_figures_are_written_and_their_bytes_repeat(ranked, tmp_path):
    run = tmp_path / "models" / "full" / "0"
    run.mkdir(parents=True)
    falling = np.linspace(3, 1, 50)
    losses = {"step": range(50), "total": falling, "text/answer": falling / 2}
    pd.DataFrame(losses).to_parquet(run / "losses.parquet")
    written = figures.write_figures(ranked.folder, tmp_path / "figures", ranked.config)
    losses = background.write_background(
        [run / "losses.parquet"], tmp_path / "background", ranked.config
    )
    stamp = statistics.read_stamps(tmp_path)["background"]
    for file in losses:
        assert stamp.encode() in file.read_bytes(), file.name
    written += [file for file in losses if file.name != statistics.STAMP]
    stems = {f.stem for f in written}
    assert stems == {*figures.FIGURES, *background.FIGURES} - {"data_efficiency"}
    assert {f.suffix for f in written} == {".pdf", ".png"} and len(written) == 2 * len(stems)
    for name, make in (
        ("cost_quality", figures.cost_quality),
        ("critical_difference", figures.critical_difference),
    ):
        fig = make(statistics.load(ranked.folder, ranked.config))
        style.save(fig, tmp_path, name, ranked.stamp)
        for file in tmp_path.glob(f"{name}.*"):
            assert ranked.stamp.encode() in file.read_bytes(), file.name
            assert file.read_bytes() == (tmp_path / "figures" / file.name).read_bytes(), file.name


def test_forest_draws_better_to_the_right(ranked):
    fig = figures.forest(ranked)
    panel = {axis.get_title("left"): axis for axis in fig.axes}["Chamfer L1 (m)"]
    names = [label.get_text() for label in panel.get_yticklabels()]
    dots = {
        names[int(line.get_ydata()[0])]: line for line in panel.lines if line.get_marker() == "o"
    }
    rows = ranked.headline_rows(ranked.differences).set_index(["method_b", "metric", "question"])
    worse = rows.loc[("no_geometry", "chamfer_l1_m", TRAININGS_AND_SCENES)].iloc[0]
    assert worse["difference"] < 0
    assert dots["no_geometry"].get_xdata()[0] == pytest.approx(-worse["difference"])
    # Exploratory tests have empty dots, declared ones full dots.
    assert dots["tsdf_fusion"].get_markerfacecolor() == "white"
    every = [line for axis in fig.axes for line in axis.lines if line.get_marker() == "o"]
    assert any(line.get_markerfacecolor() != "white" for line in every)


def test_forest_of_a_study_without_the_reference_is_left_out(ranked):
    other = replace(ranked, config=replace(ranked.config, reference="nobody"))
    assert figures.forest(other) is None
    assert figures.data_efficiency(ranked) is None


def test_intervals_wider_than_the_data_do_not_set_the_range():
    fig, axis = plt.subplots()
    axis.plot([0.2, 0.4], [0, 0], ".")
    axis.lines[0].set_linestyle("None")
    axis.plot([-9, 9], [0, 0])
    figures._limit_to_dots(axis)
    assert axis.get_xlim() == pytest.approx((0.19, 0.41))


def test_close_groups_span_less_than_the_critical_difference():
    assert figures.close_groups(np.array([1.2, 1.9, 3.0, 3.9]), 1.0) == [(0, 1), (2, 3)]
    assert figures.close_groups(np.array([1.0, 1.5, 1.9, 2.4]), 1.0) == [(0, 2), (1, 3)]
    assert figures.close_groups(np.array([1.0, 3.0]), 1.0) == []


def test_rank_axis_names_every_method_once(ranked):
    fig = figures.critical_difference(ranked)
    said = [text.get_text() for text in fig.axes[0].texts]
    for name in ("full  1.2", "tsdf_fusion  1.9", "no_geometry  3.9", "minimal_3d_vlm  3.0"):
        assert said.count(name) == 1
    assert "critical difference 1.00" in said


def test_figures_of_older_statistics_leave_out_what_they_lack(stats_dir, config, tmp_path):
    bare = tmp_path / "statistics"
    bare.mkdir()
    for name in ("estimates.parquet", "differences.parquet", "cells.parquet"):
        (bare / name).write_bytes((stats_dir / name).read_bytes())
    stats = statistics.load(bare, config)
    unscored = replace(config, generalisation_splits=("dev_asset", "nowhere"))
    assert figures.profiles(stats) is None and figures.critical_difference(stats) is None
    assert figures.cost_quality(stats) is None
    assert figures.robustness(replace(stats, config=unscored)) is None


def test_colours_differ_between_more_methods_than_the_palette_of_ten():
    names = [f"m{k}" for k in range(14)]
    assert len({str(c) for c in style.palette(names).values()}) == 14
