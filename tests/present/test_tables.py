"""Tables, claims, figures and the terminal's headline."""

import re

import numpy as np
import pandas as pd
import pytest

from metrics.files import InputError
from metrics.present import claims, data, figures, formats, names, style, tables, terminal
from metrics.statistics import compare
from tests.statistics import synthetic

CONFIG = {"deterministic": sorted(synthetic.DETERMINISTIC)}


@pytest.fixture(scope="session")
def stats_dir(tmp_path_factory):
    found = compare.compare(synthetic.scores(scenes=10), CONFIG)
    found["methods"] = synthetic.sidecars(found["methods"])
    folder = tmp_path_factory.mktemp("study") / "statistics"
    compare.write(found, folder)
    return folder


def test_article_table_has_every_row_and_column(stats_dir):
    stats = data.load(stats_dir)
    table = tables.family_table(stats, "article")
    assert len(table.text) == 24
    assert set(table.text["Item"]) == set(names.ARTICLE_ITEMS.values())
    for column in (
        "full",
        "Other",
        "Difference",
        "p",
        "p Holm",
        "Result",
        "MDE",
        "Seeds",
        "Scenes",
    ):
        assert (table.text[column] != "").all(), column
    first = table.text.iloc[0]
    assert first["Item"].startswith("Ablation: without geometry")
    assert re.fullmatch(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", first["full"])
    assert first["Seeds"] == "3/3" and first["Scenes"] == "10"


def test_verdict_follows_direction_of_the_metric():
    row = {"p_adjusted": 0.01, "difference": -0.1, "metric": "chamfer_l1_m"}
    row |= {"method_a": "full", "method_b": "other"}
    for change, word in (
        ({}, "full better"),
        ({"metric": "mesh_iou"}, "other better"),
        ({"p_adjusted": 0.05}, "not separable"),
        ({"p_adjusted": np.nan}, "not tested"),
    ):
        assert tables.verdict(pd.Series(row | change)) == word


def test_not_produced_is_empty_with_its_reason(stats_dir):
    stats = data.load(stats_dir)
    board = tables.leaderboard(stats).text.set_index("Method")
    spq = next(c for c in board.columns if c.startswith("SPQ"))
    assert board.loc["tsdf_fusion", spq] == ""
    reasons = tables.failures(stats).text
    mine = reasons[(reasons["Method"] == "tsdf_fusion") & (reasons["Task or metric"] == "graph")]
    assert mine["Why"].item() == "it has no language part"


def test_every_table_is_written_three_ways(stats_dir, tmp_path):
    tables.write_tables(stats_dir, tmp_path / "tables")
    stems = {f.stem for f in (tmp_path / "tables").glob("*.tex")}
    assert {"article", "contrasts", "leaderboard", "splits", "subsets", "failures", "cost"} <= stems
    for stem in stems:
        tex = (tmp_path / "tables" / f"{stem}.tex").read_text(encoding="utf-8")
        body = tex.split(r"\midrule")[1].split(r"\bottomrule")[0]
        columns = tex.split(r"\begin{tabular}{")[1].split("}")[0]
        for line in body.strip().splitlines():
            if line != r"\addlinespace":
                assert line.endswith(r"\\") and line.count(" & ") == len(columns) - 1
        plain = re.sub(r"%.*", "", tex)
        assert plain.isascii() or "“" not in plain
        markdown = (tmp_path / "tables" / f"{stem}.md").read_text(encoding="utf-8")
        assert markdown.count("| --- ") or "| ---" in markdown
    numbers = pd.read_csv(tmp_path / "tables" / "article.csv")
    assert {"p", "p_adjusted", "question", "mde", "tie_group"} <= set(numbers.columns)


def test_hostile_text_is_plain_in_tex_and_markdown():
    nasty = r"\input{x} & $y_1$ | <b>"
    text = pd.DataFrame({"Method": [nasty]})
    table = tables.Table("t", text, text, "caption")
    tex = formats.to_tex(table)
    assert r"\input{" not in tex and r"\textbackslash{}input\{x\} \& \$y\_1\$" in tex
    assert "\\| &lt;b>" in formats.to_markdown(table)


def test_claims_are_worded_from_the_tests(stats_dir):
    found = {c.method: c for c in claims.claims(data.load(stats_dir))}
    assert list(found) == list(claims.CLAIMS)
    assert "F-score 5 cm (+0." in found["no_geometry"].sentence
    assert found["reconstruction_only"].verdict == "not separable"


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        ((3, 0, 0), "supported"),
        ((2, 0, 1), "partly supported (2 of 3)"),
        ((0, 1, 2), "not supported"),
        ((1, 1, 0), "mixed"),
        ((0, 0, 4), "not separable"),
        ((0, 0, 0), "not tested"),
    ],
)
def test_claim_words(counts, word):
    assert claims._word(*counts) == word


def test_headline_fits_a_terminal(stats_dir):
    text = terminal.headline(stats_dir)
    assert max(map(len, text.splitlines())) <= 120
    assert all(name in text for name in synthetic.METHODS)
    assert "fscore@5cm↑" in text and "Geometry grounding" in text


def test_figures_are_reproducible(stats_dir, tmp_path):
    run = tmp_path / "models" / "full" / "0"
    run.mkdir(parents=True)
    losses = {"step": range(50), "total": np.linspace(3, 1, 50), "depth": np.linspace(1, 0.1, 50)}
    pd.DataFrame(losses).to_parquet(run / "losses.parquet")
    figures.write_figures(stats_dir, tmp_path / "models", tmp_path / "figures")
    files = {f.stem for f in (tmp_path / "figures").iterdir()}
    assert files == set(figures.CAPTIONS)
    again = style.save(figures.cost_quality(data.load(stats_dir)), tmp_path, "cost_quality")
    for file in again:
        assert file.read_bytes() == (tmp_path / "figures" / file.name).read_bytes(), file.name


def test_missing_statistics_name_the_file(tmp_path):
    with pytest.raises(InputError, match="estimates.parquet"):
        tables.write_tables(tmp_path, tmp_path / "tables")
