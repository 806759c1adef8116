"""Every reader on small files in the exact layout of its harness."""

from __future__ import annotations

import sys
import zipfile

import pandas as pd
import pytest

from metrics.__main__ import main
from metrics.files import InputError
from metrics.results.long_table import UNSTATED, Options
from metrics.results.readers import are_score_tables, find_readers, parse_source, read, reader_of
from tests.metrics.results.example_files import (
    BASE,
    BETTER,
    SCENES,
    judged_frame,
    judged_path,
    lm_eval_row,
    lmms_eval_row,
    long_frame,
    vsibench_row,
    write_judged,
    write_lines,
    write_lm_eval,
    write_lmms_eval,
)


def table_of(path, cluster=None, seed_column=None):
    return read(parse_source(str(path)), Options(cluster, seed_column))


def refusal(path, *options):
    with pytest.raises(InputError) as error:
        table_of(path, *options)
    assert "\n" not in str(error.value)
    return str(error.value)


def rows_of(table):
    return sorted(table.rows.astype({"metric": "str"}).itertuples(index=False, name=None))


def test_readers_are_found_and_have_different_priorities():
    readers = find_readers()
    assert len({reader.priority for reader in readers}) == len(readers) == 4


def test_lm_eval(tmp_path):
    rows = [
        lm_eval_row(0, {"acc": 1.0, "acc_norm": 0.0}, {"image_id": 7, "question": "?"}),
        lm_eval_row(1, {"acc": 0, "acc_norm": 1}, {"image_id": 7, "question": "?"}),
    ]
    path = write_lm_eval(tmp_path, "org/model", rows, higher={"acc": True, "acc_norm": False})
    table = table_of(path)
    assert table.cluster == "image_id"
    assert rows_of(table) == [
        ("org/model", UNSTATED, "7", "0", "arc/acc", 1.0),
        ("org/model", UNSTATED, "7", "0", "arc/acc_norm", 0.0),
        ("org/model", UNSTATED, "7", "1", "arc/acc", 0.0),
        ("org/model", UNSTATED, "7", "1", "arc/acc_norm", 1.0),
    ]
    assert table.higher == {"arc/acc": True, "arc/acc_norm": False}


def test_lm_eval_filters_are_metrics_of_their_own(tmp_path):
    rows = [
        lm_eval_row(0, {"exact_match": 1.0}, {"question": "?"}, "strict-match"),
        lm_eval_row(0, {"exact_match": 0.0}, {"question": "?"}, "flexible-extract"),
    ]
    path = write_lm_eval(tmp_path, "m", rows, "gsm8k", higher={"exact_match": True})
    table = table_of(path)
    assert table.cluster is None
    assert rows_of(table) == [
        ("m", UNSTATED, "0", "0", "gsm8k/exact_match,flexible-extract", 0.0),
        ("m", UNSTATED, "0", "0", "gsm8k/exact_match,strict-match", 1.0),
    ]
    assert set(table.higher.values()) == {True} and len(table.higher) == 2


def test_lm_eval_metrics_without_a_number_are_named(tmp_path):
    rows = [lm_eval_row(0, {"acc": 1.0, "bleu": ["ref", "pred"]}, {})]
    table = table_of(write_lm_eval(tmp_path, "m", rows))
    assert "metrics without a number for each sample left out: bleu" in table.notes[0]
    only = write_lm_eval(tmp_path / "x", "m", [lm_eval_row(0, {"bleu": ["ref", "pred"]}, {})])
    assert "no metric has a number for each sample (bleu)" in refusal(only)


@pytest.mark.parametrize("version", ["0.3.0", "0.5.1", "1.0"])
def test_lm_eval_of_an_unknown_version(tmp_path, version):
    path = write_lm_eval(tmp_path, "m", [lm_eval_row(0, {"acc": 1.0}, {})], version=version)
    assert f"is of lm_eval {version}, which is not known" in refusal(path)


def test_a_log_without_hashes_is_of_an_unknown_version(tmp_path):
    row = lm_eval_row(0, {"acc": 1.0}, {})
    del row["doc_hash"]
    path = write_lm_eval(tmp_path, "m", [row])
    assert "row 1 has no doc_id or doc_hash: a log of an unknown version" in refusal(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "acc of m, item 0, is nan"),
        (None, "row 1 has no acc"),
        (10**400, "acc of m, item 0, is inf"),
    ],
)
def test_bad_scores_of_a_log(tmp_path, value, message):
    path = write_lm_eval(tmp_path, "m", [lm_eval_row(0, {"acc": value}, {})])
    assert message in refusal(path)


def test_a_log_that_is_cut_short(tmp_path):
    path = write_lm_eval(tmp_path, "m", [lm_eval_row(k, {"acc": 1.0}, {}) for k in range(2)])
    path.write_text(path.read_text()[:-20])
    assert "row 2 is not valid JSON" in refusal(path)


def test_seeds_of_logs_come_from_folders_and_names_of_models(tmp_path):
    rows = [lm_eval_row(0, {"acc": 1.0}, {})]
    table = table_of(write_lm_eval(tmp_path / "seed3", "org/model", rows))
    assert set(table.rows["seed"]) == {"3"}
    table = table_of(write_lm_eval(tmp_path / "runs", "ckpt/seed5/last", rows))
    assert set(table.rows["seed"]) == {"5"} and set(table.rows["method"]) == {"ckpt/last"}
    path = write_lm_eval(tmp_path / "more", "m", rows)
    assert "leave out --seed-column" in refusal(path, None, "seed")


def test_a_renamed_log_without_its_results_needs_a_name(tmp_path):
    path = write_lines(tmp_path / "mine.jsonl", [lm_eval_row(0, {"acc": 1.0}, {})])
    assert "write NAME=mine.jsonl" in refusal(path)
    table = table_of(f"ours={path}")
    assert rows_of(table) == [("ours", UNSTATED, "0", "0", "mine/acc", 1.0)]


def test_lmms_eval_records_of_vsibench(tmp_path):
    rows = [
        vsibench_row(0, "scene0", "accuracy", 1.0),
        vsibench_row(1, "scene0", "MRA:.5:.95:.05", 0.3),
        vsibench_row(2, "scene1", "accuracy", 0.0),
    ]
    table = table_of(write_lmms_eval(tmp_path, "org/model", rows))
    assert table.cluster == "scene_name"
    assert rows_of(table) == [
        ("org/model", UNSTATED, "scene0", "0", "vsibench/accuracy", 1.0),
        ("org/model", UNSTATED, "scene0", "1", "vsibench/MRA:.5:.95:.05", 0.3),
        ("org/model", UNSTATED, "scene1", "2", "vsibench/accuracy", 0.0),
    ]


def test_lmms_eval_numbers_and_single_records(tmp_path):
    rows = [
        lmms_eval_row(
            k,
            {
                "exact_match": float(k),
                "mme_perception_score": {"question_id": "q", "category": "ocr", "score": 1.0},
                "submission": {"id": 3, "answer": "A"},
            },
        )
        for k in range(2)
    ]
    table = table_of(write_lmms_eval(tmp_path, "m", rows, "toy"))
    assert table.cluster is None and table.higher == {"toy/exact_match": True}
    assert [row[2:] for row in rows_of(table)] == [
        ("0", "0", "toy/exact_match", 0.0),
        ("0", "0", "toy/mme_perception_score", 1.0),
        ("1", "1", "toy/exact_match", 1.0),
        ("1", "1", "toy/mme_perception_score", 1.0),
    ]
    assert "submission" in table.notes[0]


def test_a_cluster_that_is_named_or_missing(tmp_path):
    rows = [vsibench_row(k, "scene0", "accuracy", 1.0) for k in range(2)]
    path = write_lmms_eval(tmp_path, "m", rows)
    assert set(table_of(path, "dataset").rows["cluster"]) == {"scannet"}
    assert "row 1 has no 'room'; name one of" in refusal(path, "room")
    for record in rows[1].values():
        if isinstance(record, dict):
            record.pop("scene_name", None)
    path = write_lmms_eval(tmp_path, "m", rows)
    assert "row 2 has no scene_name; name another key by --cluster" in refusal(path)


def test_vlmevalkit(tmp_path):
    path = write_judged(tmp_path, "Model-7B", [1.0, 0.0] * 6)
    table = table_of(path)
    assert table.cluster == "video"
    assert rows_of(table)[:1] == [("Model-7B", UNSTATED, "scene0", "0", "VSIBench/score", 1.0)]
    assert table.rows["value"].tolist() == [1.0, 0.0] * 6
    named = table_of(f"ours={path}")
    assert set(named.rows["method"]) == {"ours"}
    assert set(named.rows["metric"]) == {"VSIBench/score"}


def test_vlmevalkit_multiple_choice_with_images(tmp_path):
    frame = judged_frame([1, 0, 1] * 4).rename(columns={"score": "hit", "video": "image"})
    frame["image"] = "A" * 3000  # base64
    path = judged_path(tmp_path, "m")
    frame.to_csv(path, sep="\t", index=False)
    table = table_of(path)
    assert table.cluster is None and set(table.rows["metric"]) == {"VSIBench/hit"}


def test_vlmevalkit_without_scores_or_model(tmp_path):
    path = judged_path(tmp_path, "m")
    judged_frame(BASE).drop(columns="score").to_csv(path, sep="\t", index=False)
    assert "holds predictions without scores" in refusal(path)
    other = tmp_path / "other.tsv"
    judged_frame(BASE).to_csv(other, sep="\t", index=False)
    assert "write NAME=other.tsv" in refusal(other)


def test_vlmevalkit_xlsx(tmp_path):
    pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
    path = judged_path(tmp_path, "m", "xlsx")
    judged_frame(BETTER).to_excel(path, index=False)
    tsv = write_judged(tmp_path / "tsv", "m", BETTER)
    assert rows_of(table_of(path)) == rows_of(table_of(tsv))


def test_xlsx_without_openpyxl_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    path = judged_path(tmp_path, "m", "xlsx")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    assert "pip install 'g2vlm[xlsx]'" in refusal(path)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_long_and_wide_tables_say_the_same(tmp_path, ending):
    long = long_frame("m", BETTER, "first")
    wide = long.drop(columns=["metric", "value"]).assign(accuracy=BETTER, answer="A")
    for name, frame in (("long", long), ("wide", wide)):
        path = tmp_path / f"{name}.{ending}"
        if ending == "parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    expected = [
        ("m", "first", scene, f"q{k}", "accuracy", float(score))
        for k, (scene, score) in enumerate(zip(SCENES, BETTER, strict=True))
    ]
    for name in ("long", "wide"):
        table = table_of(tmp_path / f"{name}.{ending}")
        assert rows_of(table) == sorted(expected) and table.cluster == "scene"


def test_files_are_recognised_by_content(tmp_path):
    log = write_lm_eval(tmp_path, "m", [lm_eval_row(0, {"acc": 1.0}, {})])
    judged = write_judged(tmp_path, "m", BASE)
    table = tmp_path / "t.parquet"
    long_frame("m", BASE).to_parquet(table)
    for place, path in enumerate((log, judged, table)):
        renamed = path.rename(path.with_name(f"file{place}.txt"))
        assert reader_of(renamed) is not None
    assert len({type(reader_of(p)) for p in tmp_path.rglob("file*.txt")}) == 3


def test_other_files_are_refused(tmp_path):
    for name, data in (("a.bin", b"\x89PNG\r\n"), ("a.json", b"{}"), ("empty.csv", b"")):
        path = tmp_path / name
        path.write_bytes(data)
        assert refusal(path).startswith(f"{path}: no known kind of results")
    assert "no such file" in refusal(tmp_path / "nothing.csv")
    assert "is a folder" in refusal(tmp_path)


def scored_frame():
    return pd.concat([long_frame("scored", BETTER, k) for k in range(2)]).rename(
        columns={"item": "query"}
    )


def test_score_tables_alone_keep_their_comparison(tmp_path, capsys):
    path = tmp_path / "scores.parquet"
    scored_frame().assign(split="dev").to_parquet(path)
    assert are_score_tables([str(path)]) and are_score_tables([str(tmp_path), "nothing.csv"])
    assert main(["compare", str(path)]) == 0
    assert capsys.readouterr().out.startswith("means with 95% intervals")
    plain = tmp_path / "plain.csv"
    long_frame("m", BASE).to_csv(plain, index=False)
    assert not are_score_tables([str(path), str(plain)])
    assert not are_score_tables([f"m={path}"])


def test_score_tables_next_to_other_files(tmp_path):
    path = tmp_path / "scores.parquet"
    scores = scored_frame().assign(split="dev", subset="all", kind="item")
    pooled = scores.iloc[:2].assign(metric="spq@0.5", kind=["pooled", "pseudo"])
    subset = scores.assign(subset="easy")
    pd.concat([scores, pooled, subset]).to_parquet(path)
    table = table_of(path)
    assert len(table.rows) == 24 and set(table.rows["seed"]) == {"0", "1"}
    assert "pooled over scenes left out: spq@0.5" in table.notes[0]
    assert "leave out --cluster" in refusal(path, "scene")
    pd.concat([scores, scores.assign(split="other")]).to_parquet(path)
    assert "holds the splits dev, other" in refusal(path)
