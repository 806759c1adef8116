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
from metrics.statistics.families import parse_families
from metrics.statistics.moments import SCENES
from report import headline, statistics, tables, text
from report.table import FORMULA, Footnotes, Table, csv_text, to_markdown, to_tex
from tests.metrics.statistics import synthetic

PIECES = r"\d\.\d{3} ± \d\.\d{3}( [a-z]+)?"


@pytest.fixture(scope="module")
def stats(stats_dir, config):
    return statistics.load(stats_dir, config)


def test_a_family_s_table_has_every_declared_test_of_its_claims(stats):
    table = tables.claim_table(stats, "article")
    claims = [c for c in parse_families(synthetic.CONFIG["families"]) if c.family == "article"]
    place = {claim.name: k for k, claim in enumerate(stats.config.claims)}
    claims.sort(key=lambda claim: place[claim.name])
    declared = [test for claim in claims for _, _, test in claim.tests()]
    assert list(table.text["Other"]) == [test.b for test in declared]
    assert set(table.text["Claim"]) == {
        claim.claim for claim in stats.config.claims if claim.family == "article"
    }
    tested = table.text[~table.text["Result"].str.startswith("untested")]
    columns = ("First’s mean", "Other’s mean", "Difference", "p", "p corrected", "MDE", "Seeds")
    for column in columns:
        assert (tested[column] != "").all(), column
    first = tested.iloc[0]
    assert first["Claim"].startswith("Geometry grounding") and first["First"] == "full"
    assert re.fullmatch(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", first["First’s mean"])
    assert first["Seeds"] == "3/3" and first["Scenes"] == "10"
    missing = table.text[table.text["Other"] == "constant_pointmap"]
    assert set(missing["Result"]) == {"untested: no scores of constant_pointmap"}


def test_verdicts_name_what_was_not_tested(stats):
    table = tables.verdicts(stats)
    rows = table.text[table.text["Claim"].str.startswith("Geometry grounding")]
    assert set(rows["Against"]) == {"no_geometry", "constant_pointmap", "mean_layout"}
    assert "untested (no scores of constant_pointmap; no scores of mean_layout)" in rows.iloc[0, 0]
    outcome = rows.set_index("Against")["Outcome"]
    assert outcome["mean_layout"] == "untested: no scores of mean_layout"
    assert (rows["Least"] == "0.020").all()
    assert set(table.numbers["role"]) == {"primary"} and "verdict" in table.numbers


def test_a_contrast_without_tests_for_new_trainings_has_no_table(stats):
    assert [table.name for table in tables.contrast_tables(stats)] == ["generalisation"]
    rows = stats.differences.copy()
    rows.loc[rows["family"] == "generalisation", "question"] = SCENES
    assert tables.contrast_tables(replace(stats, differences=rows)) == []


def test_tables_of_one_training_keep_its_tests_apart(config, tmp_path):
    scores = synthetic.scores(seeds=1, scenes=5, splits=("dev_scene", "dev_asset"))
    compare.write(compare.compare(scores, synthetic.CONFIG), tmp_path / "statistics")
    tables.write_tables(tmp_path / "statistics", tmp_path / "tables", config)
    stems = {file.stem for file in (tmp_path / "tables").iterdir()}
    assert "main" in stems and "generalisation" not in stems
    article = pd.read_csv(tmp_path / "tables" / "article.csv")
    assert set(article["outcome"]) == {"untested"} and article["p"].isna().all()
    others = pd.read_csv(tmp_path / "tables" / "other_questions.csv")
    assert {"article", "generalisation"} <= set(others["family"])


def test_exploratory_tests_are_those_of_the_reference(stats_dir, config, tmp_path):
    tables.write_tables(stats_dir, tmp_path / "tables", config)
    rows = pd.read_csv(tmp_path / "tables" / "exploratory.csv")
    assert set(rows["method_a"]) == {config.reference} and set(rows["family"]) == {"exploratory"}


def test_main_table_has_every_method_and_metric_with_interval_ties_and_p(stats):
    table = tables.main_table(stats)
    assert list(dict.fromkeys(table.text["Method"])) == stats.method_names
    heads = [text.metric_head(m) for m in stats.headline_metrics]
    assert list(table.text.columns) == ["Method", *heads]
    full, first, second = (table.text.iloc[k] for k in range(3))
    assert all(re.fullmatch(PIECES, full[head]) for head in heads)
    assert first["Method"] == second["Method"] == "no_geometry"
    for metric in stats.headline_metrics:
        declared = metric in ("spq@0.5", "sg_accuracy", "answer_score")
        assert second[text.metric_head(metric)].endswith("†") != declared, metric
    numbers = table.numbers.set_index(["method", "metric"])
    test = stats.tests("article").set_index(["method_b", "metric"])
    pair = ("no_geometry", "spq@0.5")
    assert numbers.loc[pair, "p_adjusted"] == test.loc[pair, "p_adjusted"]


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
        text.metric_head(m)
        for m in (
            *("chamfer_l1_m", "chamfer_l1_sim3_m", "fscore@5cm", "fscore@5cm_sim3"),
            *("occupancy_iou", "mesh_iou"),
        )
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
    assert list(table.text.columns) == ["Metric", "Method", "dev_scene", "dev_asset"]
    row = table.text.iloc[0]
    found = stats.estimate("full", "dev_asset", "all", "chamfer_l1_m")
    assert row["dev_asset"] == text.interval(found.mean, found.ci_low, found.ci_high)


def test_the_splits_table_describes_captured_rooms(stats):
    assert "real_rooms) are left out" in tables.splits(stats).caption
    rooms = stats.estimates[stats.estimates["split"] == "dev_asset"].assign(split="real_rooms")
    table = tables.splits(replace(stats, estimates=pd.concat([stats.estimates, rooms])))
    assert list(table.text.columns)[-1] == "real_rooms"
    assert "no colour" in table.caption and "described, not tested" in table.caption


def test_every_table_is_written_three_ways(stats_dir, config, tmp_path):
    tables.write_tables(stats_dir, tmp_path / "tables", config)
    stems = {f.stem for f in (tmp_path / "tables").glob("*.tex")}
    wanted = {
        "main",
        "verdicts",
        "article",
        "contrasts",
        "generalisation",
        "reconstruction",
        "graph",
        "grounding",
        "retrieval",
    }
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


def test_the_gate_names_what_is_not_fitted_and_is_no_table_without_a_gate(stats):
    assert tables.gate(stats).text.empty
    entry = {
        "metric": "fscore@5cm",
        "fit": False,
        "reason": "loses to the constant on train: under-fitted",
        "train": 0.03,
        "train_constant": 0.12,
        "val": 0.02,
        "val_constant": 0.13,
    }
    gated = replace(stats, gate={"no_geometry": {"points": entry}, "full": {"points": entry}})
    table = tables.gate(gated)
    assert table.text["Method"].tolist() == ["full", "no_geometry"]
    row = table.text.iloc[1]
    assert row["Train"] == text.number(0.03) and row["Constant on val"] == text.number(0.13)
    assert "under-fitted" in row["Verdict"]
    assert table.numbers["fit"].tolist() == [False, False]


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


def test_claims_are_read_off_the_statistics(stats):
    found = {claim["name"]: claim for claim in headline.claims(stats)}
    assert list(found) == [claim.name for claim in stats.config.claims]
    grounding = found["geometry_grounding"]
    assert grounding["sentence"].startswith("full, ")
    assert "SPQ 0.5 against no_geometry (+0." in grounding["sentence"]
    assert "untested: F-score 5 cm after sim(3) against constant_pointmap" in grounding["sentence"]
    assert re.search(r"\d of 3 secondary tests better\.$", grounding["sentence"])
    assert grounding["verdict"].endswith(
        "2 of 4 untested (no scores of constant_pointmap; no scores of mean_layout)"
    )
    # No method of the family of causes was scored.
    assert found["depth"]["verdict"] == headline.NO_SCORES


def test_the_summary_fits_a_terminal(stats_dir, config):
    lines = headline.terminal_summary(stats_dir, config).splitlines()
    assert max(map(len, lines)) <= 120
    summary = "\n".join(lines)
    assert all(name in summary for name in synthetic.METHODS)
    assert "fscore@5cm↑" in summary and "Geometry grounding" in summary


def test_missing_statistics_name_the_file(tmp_path, config):
    with pytest.raises(InputError, match="estimates.parquet"):
        tables.write_tables(tmp_path, tmp_path / "tables", config)
