"""Tables, claims and the terminal's summary."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from metrics.files import InputError
from metrics.statistics import compare
from metrics.statistics.moments import SCENES
from report import headline, statistics, tables, text
from report.table import FORMULA, Footnotes, Table, csv_text, to_markdown, to_tex
from tests.metrics.statistics import synthetic

PIECES = r"\d\.\d{3} ± \d\.\d{3}( [a-z]+)?"


@pytest.fixture(scope="module")
def stats(stats_dir, config):
    return statistics.load(stats_dir, config)


def test_article_table_has_every_row_and_column(stats):
    table = tables.declared_tests(stats, "article")
    assert len(table.text) == 24
    assert set(table.text["Item"]) == {claim.label for claim in stats.config.claims}
    columns = ("full", "Other", "Difference", "p", "p Holm", "Result", "MDE", "Seeds", "Scenes")
    for column in columns:
        assert (table.text[column] != "").all(), column
    first = table.text.iloc[0]
    assert first["Item"].startswith("Ablation: without geometry")
    assert re.fullmatch(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", first["full"])
    assert first["Seeds"] == "3/3" and first["Scenes"] == "10"


def test_a_family_without_tests_for_new_trainings_has_no_table(stats):
    names = [table.name for table in tables.declared_test_tables(stats)]
    assert {"article", "generalisation"} <= set(names)
    rows = stats.differences.copy()
    rows.loc[rows["family"] == "generalisation", "question"] = SCENES
    names.remove("generalisation")
    left = tables.declared_test_tables(replace(stats, differences=rows))
    assert [table.name for table in left] == names


def test_tables_of_one_training_keep_its_tests_apart(config, tmp_path):
    scores = synthetic.scores(seeds=1, scenes=5, splits=("test_scene", "test_asset"))
    compare.write(compare.compare(scores, synthetic.CONFIG), tmp_path / "statistics")
    tables.write_tables(tmp_path / "statistics", tmp_path / "tables", config)
    stems = {file.stem for file in (tmp_path / "tables").iterdir()}
    assert "main" in stems and not {"article", "generalisation"} & stems
    others = pd.read_csv(tmp_path / "tables" / "other_questions.csv")
    assert {"article", "generalisation"} <= set(others["family"])


def test_main_table_has_every_method_and_metric_with_interval_ties_and_p(stats):
    table = tables.main_table(stats)
    assert list(dict.fromkeys(table.text["Method"])) == stats.method_names
    heads = [text.metric_head(m) for m in stats.headline_metrics]
    assert list(table.text.columns) == ["Method", *heads]
    full, first, second = (table.text.iloc[k] for k in range(3))
    assert all(re.fullmatch(PIECES, full[head]) for head in heads)
    assert first["Method"] == second["Method"] == "no_geometry"
    for metric in stats.headline_metrics:
        declared = metric in ("chamfer_l1_m", "fscore@5cm", "mesh_iou", "spq@0.5", "sg_accuracy")
        assert second[text.metric_head(metric)].endswith("†") != declared, metric
    numbers = table.numbers.set_index(["method", "metric"])
    test = stats.tests("article").set_index(["method_b", "metric"])
    pair = ("no_geometry", "mesh_iou")
    assert numbers.loc[pair, "p_adjusted"] == test.loc[pair, "p_adjusted"]


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


def test_not_produced_is_a_dash_with_its_reason_as_a_footnote(stats):
    table = tables.main_table(stats)
    fusion = table.text[table.text["Method"] == "tsdf_fusion"].iloc[0]
    mark = fusion[text.metric_head("spq@0.5")]
    assert re.fullmatch("–[¹²³]", mark)
    assert f"{mark[1]} it has no language part" in table.notes
    mine = tables.not_produced(stats).text
    mine = mine[mine["Method"] == "tsdf_fusion"]
    assert mine["Outputs"].item() == "answers, graph, grounding"
    assert mine["Why"].item() == "it has no language part"


def test_equal_reasons_share_a_footnote():
    notes = Footnotes()
    assert [notes.mark(text) for text in ("b", "a", "b")] == ["–¹", "–²", "–¹"]
    assert notes.lines() == ("¹ b", "² a")


def test_failures_report_the_mean_of_the_succeeded_too(stats):
    row = tables.failures(stats)
    keep = (row.numbers["method"] == "oracle") & (row.numbers["metric"] == "chamfer_l1_m")
    assert row.numbers[keep]["succeeded"].item() == 0
    text = row.text[row.text["Method"] == "oracle"].set_index("Metric")
    assert text.loc["Chamfer L1 (m) ↓", "Succeeded only"] == "none succeeded"


def test_every_metric_of_a_family_has_a_row(stats):
    table = tables.metric_family(stats, "reconstruction")
    assert list(table.text["Metric"]) == [
        text.metric_head(m) for m in ("chamfer_l1_m", "fscore@5cm", "occupancy_iou", "mesh_iou")
    ]
    names = list(tables.metric_family(stats, "retrieval").text["Metric"])
    assert len(names) == 4 and sum(name.endswith(", over queries") for name in names) == 2


def test_the_mean_over_queries_is_below_ours_where_the_source_has_it(stats):
    table = tables.metric_family(stats, "grounding")
    lines = table.text.set_index("Metric")
    row = stats.estimate("full", stats.main_split, "all", "ref_acc@0.25")
    name = f"{text.metric_label('ref_acc@0.25')}, over queries"
    assert lines.loc[name, "full"] == text.number(row.query_mean)
    assert "Over queries" in table.caption
    # Questions of a scene are averaged by type first, which no source does.
    answers = tables.metric_family(stats, "answers")
    names = [name for name in answers.text["Metric"] if name.endswith(", over queries")]
    assert names == ["Answer MRA, over queries"]
    assert "Over queries" not in tables.metric_family(stats, "reconstruction").caption


def test_a_metric_of_one_query_a_scene_has_no_second_line(stats):
    estimates = stats.estimates.assign(query_mean=np.nan)
    table = tables.metric_family(replace(stats, estimates=estimates), "grounding")
    assert not table.text["Metric"].str.endswith("over queries").any()
    assert "Over queries" not in table.caption


def test_splits_are_columns_and_are_not_pooled(stats):
    table = tables.splits(stats)
    assert list(table.text.columns) == ["Metric", "Method", "test_scene", "test_asset"]
    row = table.text.iloc[0]
    found = stats.estimate("full", "test_asset", "all", "chamfer_l1_m")
    assert row["test_asset"] == text.interval(found.mean, found.ci_low, found.ci_high)


def test_the_splits_table_describes_captured_rooms(stats):
    assert "real_rooms) are left out" in tables.splits(stats).caption
    rooms = stats.estimates[stats.estimates["split"] == "test_asset"].assign(split="real_rooms")
    table = tables.splits(replace(stats, estimates=pd.concat([stats.estimates, rooms])))
    assert list(table.text.columns)[-1] == "real_rooms"
    assert "no colour" in table.caption and "described, not tested" in table.caption


def test_every_table_is_written_three_ways(stats_dir, config, tmp_path):
    tables.write_tables(stats_dir, tmp_path / "tables", config)
    stems = {f.stem for f in (tmp_path / "tables").glob("*.tex")}
    wanted = {"main", "article", "contrasts", "reconstruction", "graph", "grounding", "retrieval"}
    wanted |= {"splits", "subsets", "failures", "not_produced", "controls", "cost"}
    assert wanted <= stems
    for stem in stems:
        assert_tex_would_compile((tmp_path / "tables" / f"{stem}.tex").read_text(encoding="utf-8"))
        markdown = (tmp_path / "tables" / f"{stem}.md").read_text(encoding="utf-8")
        rows = [line for line in markdown.splitlines() if line.startswith("|")]
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in rows}
        assert len(bars) == 1 and "| --- |" in rows[1]
        assert (tmp_path / "tables" / f"{stem}.csv").stat().st_size
    numbers = pd.read_csv(tmp_path / "tables" / "article.csv")
    assert {"p", "p_adjusted", "question", "mde", "tie_group"} <= set(numbers.columns)


@pytest.mark.parametrize("first", FORMULA)
def test_no_text_of_any_csv_column_is_a_formula(first):
    cell = f"{first}cmd|' /C calc'!A1"
    rows = pd.DataFrame({"Why": [cell, "no mesh"], "mean": [-0.5, 2.0], cell: ["plain", cell]})
    rows["kind"] = pd.Categorical([cell, "two\r=1\nlines"])
    read = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert read[0] == ["Why", "mean", f"'{cell}", "kind"]
    assert read[1] == [f"'{cell}", "-0.5", "plain", f"'{cell}"]
    assert read[2] == ["no mesh", "2.0", f"'{cell}", "two =1 lines"]


def test_a_submission_s_reasons_are_no_formulas_in_the_tables(stats_dir, config, tmp_path):
    folder = tmp_path / "statistics"
    shutil.copytree(stats_dir, folder)
    methods = json.loads((folder / "methods.json").read_text())
    methods["full"]["reasons"] = {"mesh": "=1+1", "points": "+1", "=occupancy": "@SUM(A1)"}
    (folder / "methods.json").write_text(json.dumps(methods))
    tables.write_tables(folder, tmp_path / "tables", config)
    rows = pd.read_csv(tmp_path / "tables" / "not_produced.csv", dtype=str)
    assert {"'=1+1", "'+1", "'@SUM(A1)"} <= set(rows["Why"])
    assert "'=occupancy" in set(rows["Outputs"])
    for file in (tmp_path / "tables").glob("*.csv"):
        cells = pd.read_csv(file, dtype=str, keep_default_na=False).to_numpy().ravel()
        wrong = [cell for cell in cells if cell.startswith(FORMULA) and not is_number(cell)]
        assert wrong == [], file.name


def is_number(cell):
    return re.fullmatch(r"-?(\d+\.?\d*(e[+-]?\d+)?|inf)", cell) is not None


def test_every_table_carries_the_stamp_of_its_numbers(stats_dir, config, tmp_path):
    tables.write_tables(stats_dir, tmp_path / "tables", config)
    stamp = statistics.load(stats_dir, config).stamp
    assert stamp == statistics.stamp_of_study(stats_dir) and re.fullmatch("[0-9a-f]{16}", stamp)
    for file in (tmp_path / "tables").iterdir():
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".csv":
            assert set(pd.read_csv(file, dtype=str)["stamp"]) <= {stamp}, file.name
        else:
            assert f"Stamp {stamp}" in text, file.name
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in stats_dir.glob("*.parquet"):
        (changed / file.name).write_bytes(file.read_bytes())
    assert statistics.stamp_of_study(changed) == stamp
    pd.read_parquet(changed / "estimates.parquet")[1:].to_parquet(changed / "estimates.parquet")
    assert statistics.stamp_of_study(changed) != stamp


def assert_tex_would_compile(tex):
    """Check what stops LaTeX here: environments, braces, columns, characters, stray specials."""
    assert tex.isascii()
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", tex)
    stack = []
    for side, name in opened:
        if side == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    bare = re.sub(r"\\[{}]", "", tex)
    depth = np.cumsum([(c == "{") - (c == "}") for c in bare])
    assert depth.min() >= 0 and depth[-1] == 0
    commands = set(re.findall(r"\\([A-Za-z]+)", tex))
    known = "documentclass usepackage begin end toprule midrule bottomrule addlinespace"
    known += " footnotesize pm uparrow downarrow dag textsuperscript textless textgreater textbar"
    assert commands <= {*known.split(), "textbackslash", "textasciitilde", "textasciicircum"}
    inner = tex.split(r"\toprule")[1].split(r"\bottomrule")[0]
    columns = re.search(r"\\begin\{tabular\}\{(l+)\}", tex).group(1)
    for line in inner.strip().splitlines():
        if line not in (r"\addlinespace", r"\midrule"):
            assert line.endswith(r" \\")
            assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1, line
    assert not re.search(r"(?<!\\)[%#_^~]", tex)
    assert len(re.findall(r"(?<!\\)\$", tex)) % 2 == 0


def test_hostile_text_is_escaped_in_tex_and_markdown():
    nasty = "\\input{x} & $y_1$ | <b>\n`z` % ~^#"
    text = pd.DataFrame({"Method": [nasty]})
    table = Table("t", nasty, text, text, nasty, (nasty,))
    tex = to_tex(table)
    assert_tex_would_compile(tex)
    assert r"\input{" not in tex and r"\textbackslash{}input\{x\} \& \$y\_1\$" in tex
    assert "\\| &lt;b> " in to_markdown(table)


def test_claims_are_read_off_the_tests(stats):
    found = {c["method"]: c for c in headline.claims(stats)}
    assert list(found) == [claim.method for claim in stats.config.claims]
    assert "F-score 5 cm (+0." in found["no_geometry"]["sentence"]
    assert found["reconstruction_only"]["verdict"] == "not separable"


def test_a_claim_after_one_seed_says_that_there_is_no_test(tmp_path, config):
    scores = synthetic.scores(seeds=1, scenes=6)
    compare.write(compare.compare(scores, synthetic.CONFIG), tmp_path)
    stats = statistics.load(tmp_path, config)
    kept = stats.differences["method_b"] != "no_geometry"
    without = replace(stats, differences=stats.differences[kept])
    for source, words in ((stats, "one seed gives no test"), (without, "no scores")):
        claim = next(c for c in headline.claims(source) if c["method"] == "no_geometry")
        assert claim["verdict"] == "not tested"
        assert claim["sentence"] == f"full minus no_geometry: {words} of this comparison."


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
def test_claim_verdicts(counts, word):
    assert headline.claim_verdict(*counts) == word


def test_the_summary_fits_a_terminal(stats_dir, config):
    lines = headline.terminal_summary(stats_dir, config).splitlines()
    assert max(map(len, lines)) <= 120
    summary = "\n".join(lines)
    assert all(name in summary for name in synthetic.METHODS)
    assert "fscore@5cm↑" in summary and "Geometry grounding" in summary


def test_missing_statistics_name_the_file(tmp_path, config):
    with pytest.raises(InputError, match="estimates.parquet"):
        tables.write_tables(tmp_path, tmp_path / "tables", config)
