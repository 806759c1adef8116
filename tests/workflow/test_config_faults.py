"""Configs that would fail hours later or be misread: refused when they are read, in one line.

The message begins with the file that holds the key, in whatever order the files are merged.
"""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from g2vlm.models.config import method_switches
from g2vlm.run import session
from g2vlm.run.config import (
    METHODS,
    check_config,
    config_schema,
    load_method,
    merge,
    read_sources,
)
from g2vlm.run.produced import untrained_tasks
from metrics.files import InputError
from tests.configs import load_config
from tests.paths import CASES, needs_cases

FAMILY = """
statistics:
  families:
    mine:
      split: dev_scene
      claims: {c: {a: full, against: [no_depth], facets: {one: {primary: spq@0.5/on_top}}}}
"""


def refusal(*files, **command_line):
    """Return the message of the fault in config files and a command line."""
    with pytest.raises(InputError) as fault:
        check_config(read_sources(files, command_line))
    assert "\n" not in str(fault.value)
    return str(fault.value)


@pytest.fixture
def write(tmp_path):
    """Write a config file and return its path."""

    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return path

    return write


@pytest.fixture
def submission(tmp_path):
    """A folder with a manifest for every scored split; only their presence is checked."""
    for split in ("dev_scene", "dev_asset", "real_rooms"):
        (tmp_path / "theirs" / split).mkdir(parents=True)
        (tmp_path / "theirs" / split / "manifest.json").write_text("{}")
    return str(tmp_path / "theirs")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # Numbers.
        ("train: {learning_rate: .nan}", "`train.learning_rate` is nan; give a finite number"),
        ("train: {clip: -.inf}", "`train.clip` is -inf"),
        ("studies: {robustness: {noise: [1, .nan]}}", "`studies.robustness.noise.1` is nan"),
        ("statistics: {smallest_effect: {spq@0.5: .inf}}", "`statistics.smallest_effect.spq@0.5`"),
        ("seed: 99999999999999999999", "`seed`: 99999999999999999999 is greater than"),
        ("seeds: 100000000", "`seeds`: 100000000 is greater than the maximum of 100"),
        ("seeds: 2.0", "`seeds`: 2.0 is not of type 'integer'"),
        ("train: {batch_scenes: 3.0}", "`train.batch_scenes`: 3.0 is not of type 'integer'"),
        ("seeds: yes", "`seeds`: True is not of type 'integer'"),
        ("train: {learning_rate: 4e-3}", "YAML reads this as text, so write 0.004"),
        ("data: {splits: {train: 100000000}}", "greater than the maximum of 1000000"),
        ("render: {width: 4000000}", "`render.width`: 4000000 is greater than the maximum of 4096"),
        ("score: {surface_samples: 1000000000000}", "greater than the maximum of 20000000"),
        ("train: {processes: 99999}", "greater than the maximum of 512"),
        ("model: {hidden: 1000000}", "`model.hidden`: 1000000 is greater than the maximum of 8192"),
        ("train: {stage1_steps: 0, stage2_steps: 0}", "`stage2_steps` are 0; train some"),
        ("train: {processes: 2}", "`train.accumulation` is 1, not a multiple of `train.processes`"),
        ("train: {processes: 2, accumulation: 3}", "is 3, not a multiple of `train.processes` 2"),
        # YAML that readers take differently, or whose aliases expand to more than it holds.
        ("seeds: 1\nseeds: 2", "row 2: key `seeds` is written twice"),
        ("train:\n  clip: 1\n  clip: 2", "row 3: key `clip` is written twice"),
        ("statistics: &s {families: *s}", "row 1: the alias `*s` is not allowed"),
        ("a: &a [x, x]\nb: [*a, *a]", "row 2: the alias `*a` is not allowed"),
        ("train: {<<: {clip: 2}}", "row 1: the merge key `<<` is not allowed"),
        ("x: " + "[" * 3000 + "]" * 3000, "row 1: nested more than 20 levels deep"),
        ("x: " + "{a: " * 30 + "1" + "}" * 30, "row 1: nested more than 20 levels deep"),
        ("x: !!python/object/apply:os.getpid []", "row 1: the tag `tag:yaml.org,2002:python/"),
        ("seed: !!int '3'", "row 1: the tag `tag:yaml.org,2002:int` is not allowed"),
        ("5: 6", "row 1: key `5` is not text"),
        ("yes: 1", "row 1: key `yes` is not text"),
        ("~: 1", "row 1: key `~` is not text"),
        ("? [1]\n: 2", "row 1: a key is not text"),
        ('experiment: "\\ud800"', "row 1: half of a surrogate pair"),
        ("seeds:\n\t- 1", "not valid YAML (row 2: found character '\\t'"),
        ("experiment: 2020-13-45", "not valid YAML (month must be in 1..12)"),
        (f"seed: {'9' * 5000}", "not valid YAML (Exceeds the limit"),
        ("\0", "holds NUL bytes"),
        ("", "must hold keys and values"),
        ("[1, 2]", "must hold keys and values"),
        ('"\\x1b[2J' + "x" * 900 + '": 1', "unknown key `\\x1b[2Jxxxxx"),
        ("methods: [" + "x" * 90 + "]", "names the unknown trained method `xxxx"),
        # Names.
        ("methods: [fulll]", "`methods` names the unknown trained method `fulll`; did you mean"),
        ("methods: [full, full]", "has non-unique elements"),
        ('experiment: "mine\\n"', "give up to 100 lower-case letters, digits and underscores"),
        (f"experiment: {'x' * 101}", "give up to 100 lower-case letters"),
        (
            "statistics: {smallest_effect: {nope: 1}}",
            "`statistics.smallest_effect` names the unknown metric `nope`",
        ),
        ("statistics: {reference: nope}", "`statistics.reference` names the unknown method of"),
        ("methods: [no_depth]", "`statistics.reference` names the unknown method of this exper"),
        ("statistics: {upper_bound: hf_vlm}", "`statistics.upper_bound` names the unknown method"),
        ("statistics: {controls: [orakle]}", "did you mean `oracle`?"),
        ("statistics: {generalisation: {methods: [nope]}}", "the unknown method `nope`"),
        ("statistics: {generalisation: {metrics: [chamfer]}}", "the unknown metric `chamfer`"),
        ("statistics: {generalisation: {splits: [val, val]}}", "has non-unique elements"),
        (
            "statistics: {data_efficiency: {split: val, less: {full: full_at_11}, metrics: []}}",
            "`statistics.data_efficiency` names the unknown method `full_at_11`",
        ),
        (
            FAMILY.replace("spq@0.5", "spq@0.6"),
            "`statistics.families.mine.claims.c.facets.one.primary` names the unknown metric",
        ),
        (
            FAMILY.replace("spq@0.5/on_top", "fscore@5cm, secondary: [spq@0.5]"),
            "`statistics.families` are wrong: families: spq@0.5/all of full against no_depth is a",
        ),
        (
            FAMILY.replace("spq@0.5", "mesh_iou"),
            "`statistics.families` are wrong: `smallest_effect` lacks mesh_iou, the primary metric",
        ),
        ("statistics: {equivalence_share: 1}", "`statistics.equivalence_share`: 1 is greater than"),
        (
            FAMILY.replace("no_depth", "no_dept"),
            "unknown method `no_dept`; did you mean `no_depth`?",
        ),
        (
            FAMILY.replace("on_top", "on_top, controls: [mean_layot]"),
            "`statistics.families.mine.claims.c.facets.one.controls` names the unknown method "
            "`mean_layot`; did you mean `mean_layout`?",
        ),
        (
            FAMILY.replace("dev_scene", "val"),
            "`statistics.families.mine.split` names the unknown scored split `val`",
        ),
        # Scores that a method or control cannot have.
        (
            FAMILY.replace("spq@0.5/on_top", "answer_score, controls: [mean_layout]"),
            "`statistics.families.mine.claims.c.facets.one.controls` names mean_layout, which has "
            "no answer_score: it does not produce answers",
        ),
        (
            FAMILY.replace("spq@0.5/on_top", "fscore@5cm_sim3, controls: [floor_plane]"),
            "names floor_plane, which has no fscore@5cm_sim3: points carry no pixels",
        ),
        (
            FAMILY.replace("no_depth", "no_align_loss").replace(
                "spq@0.5/on_top", "spq@0.5, secondary: [text_to_scene_mrr]"
            ),
            "facets.one.secondary` names text_to_scene_mrr, which no_align_loss is not scored on: "
            "it has no contrastive loss",
        ),
        (
            FAMILY.replace("no_depth", "reconstruction_only").replace("spq@0.5/on_top", "ref_pick"),
            "names ref_pick, which reconstruction_only is not scored on: it has no language",
        ),
        (
            FAMILY.replace("no_depth", "geometry_free_vlm").replace(
                "spq@0.5/on_top", "spq@0.5, secondary: [mesh_iou]"
            ),
            "names mesh_iou, which geometry_free_vlm is not scored on: it learns no solids",
        ),
        (
            FAMILY.replace("no_depth", "raw_depth"),
            "names spq@0.5, which raw_depth is not scored on: it does not produce graph",
        ),
        (
            FAMILY.replace(
                "a: full, against: [no_depth]", "a: no_geometry, against: [full]"
            ).replace("spq@0.5/on_top", "fscore@5cm, controls: [constant_depth]"),
            "names constant_depth, which reads geometry that no_geometry lacks",
        ),
        (
            "gate: {tasks: {answers: {controls: [mean_layout]}}}",
            "`gate.tasks.answers.controls` names mean_layout, which has no answer_score",
        ),
        (
            "gate: {tasks: {reconstruction: {controls: [constant_depth, raw_depth]}}}",
            "`gate.tasks.reconstruction.controls` names only controls that read geometry which "
            "no_geometry lacks",
        ),
        ("studies: {subgroups: {methods: [nope]}}", "`studies.subgroups.methods` names the unkn"),
        ("studies: {robustness: {methods: [chance]}}", "the unknown trained method `chance`"),
        ("studies: {loss_balance: {method: ful}}", "did you mean `full`?"),
        ("studies: {metrics: [spq]}", "`studies.metrics` names the unknown metric `spq`"),
        ("studies: {data_efficiency: {shares: [0.1, 0.101]}}", "trains full_at_10 twice"),
        ("studies: {tuning: {factors: [2, 2.0000001]}}", "trains full_rate_x2 twice"),
        ("report: {baselines: [nope]}", "`report.baselines` names the unknown baseline `nope`"),
        ("report: {short_names: {spq: s}}", "`report.short_names` names the unknown metric `spq`"),
        ("report: {families: {artikel: A}}", "did you mean `article`?"),
        ("encode: {image: resnet9000}", "`encode.image` is 'resnet9000', which holds no config.j"),
        ("encode: {text: ../../x}", "`encode.text` is '../../x', which holds no config.json"),
        # Splits and folders.
        ("predict: {splits: [val]}", "`score.splits` names dev_scene, which `predict.splits` lac"),
        ("predict: {splits: [dev_scene]}", "the thresholds are calibrated on val, so add it"),
        ("score: {splits: [dev_asset]}", "`report.main_split` names dev_scene, which `score.sp"),
        ("submissions: [{name: theirs, path: /nonexist}]", "`submissions.0.path` holds no dev_sce"),
        ("submissions: [{name: theirs, path: 'x{y}'}]", "give a folder without them"),
        ("pretrained: {hf_vlm: /nonexist}", "`pretrained.hf_vlm` cannot be used: /nonexist: no s"),
    ],
)
def test_a_fault_is_one_line_that_begins_with_its_file(write, text, words):
    path = write(text)
    message = refusal(path)
    assert message.startswith(f"{path}: ") and words in message


@needs_cases
def test_every_hostile_config_is_refused_by_name():
    paths = sorted((CASES / "hostile" / "09-configs").glob("*.yaml"))
    assert paths and all(refusal(path).startswith(f"{path}: ") for path in paths)


def test_the_file_at_fault_is_the_last_one_that_sets_the_key(write):
    wrong, right = write("seeds: 0", "wrong.yaml"), write("seed: 5", "right.yaml")
    for files in ([wrong, right], [right, wrong]):
        assert refusal(*files).startswith(f"{wrong}: `seeds`: 0 is less than")
    assert refusal(right, seeds=0).startswith("--config on the command line: `seeds`: 0 is less")
    # The last one hides the fault of an earlier one.
    assert load_config(wrong, write("seeds: 2", "last.yaml"))["seeds"] == 2


def test_of_two_keys_that_do_not_fit_the_later_file_is_at_fault(write):
    heads, layers = write("model: {heads: 3}", "heads.yaml"), write("model: {layers: 3}", "l.yaml")
    assert refusal(heads, layers).startswith(f"{heads}: model.hidden 160 is not a multiple of")
    scored = write("score: {splits: [dev_scene, train]}", "scored.yaml")
    assert refusal(scored, layers).startswith(f"{scored}: `score.splits` names train")


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("full", "config/methods/full.yaml"),
        ("oracle", "the baseline oracle"),
        ("hf_vlm", "the baseline hf_vlm"),
        ("full_at_10", "a training of `studies`, full_at_10"),
        ("no_depth_rate_x0_5", "a training of `studies`, no_depth_rate_x0_5"),
    ],
)
def test_a_submission_needs_a_name_of_its_own(write, submission, name, owner):
    path = write({"submissions": [{"name": name, "path": submission}]})
    assert f"`submissions.0.name` is {name}, also the name of {owner}" in refusal(path)


def test_two_submissions_need_two_names(write, submission):
    entries = [{"name": "theirs", "path": submission}, {"name": "others", "path": submission}]
    assert len(load_config(write({"submissions": entries}))["submissions"]) == 2
    entries[1]["name"] = "theirs"
    path = write({"submissions": entries})
    assert refusal(path).startswith(f"{path}: `submissions.1.name` is theirs, also the name of")


def test_every_number_of_the_schema_has_an_upper_bound():
    def unbounded(schema, path=()):
        if isinstance(schema, dict):
            if schema.get("type") in ("integer", "number"):
                bounds = {"maximum", "exclusiveMaximum"} & set(schema)
                yield from () if bounds else [".".join(path)]
            for key, value in schema.items():
                yield from unbounded(value, (*path, str(key)))

    assert list(unbounded(config_schema())) == []


def test_snakemake_and_the_check_merge_alike(write):
    """Snakemake merges the config that jobs use; the check merges its own to name the file."""
    from snakemake.common.configfile import load_configfile
    from snakemake.utils import update_config

    files = [
        "config/cpu.yaml",
        "config/gpu.yaml",
        write({"statistics": {"smallest_effect": {"spq": 1}}}),
    ]
    theirs, ours = {}, {}
    for path in files:
        update_config(theirs, load_configfile(path))
        ours = merge(ours, load_configfile(path))
    assert ours == theirs


def test_a_config_that_snakemake_reads_otherwise_is_refused():
    config = load_config()
    session.check(config, [], {})
    with pytest.raises(
        SystemExit, match=r"error: config/cpu\.yaml: Snakemake reads another config"
    ):
        session.check(config | {"seeds": 7}, [], {})


def test_files_can_be_checked_without_snakemake(write):
    """Snakemake itself stops at some files with a traceback, and runs the code of templates."""
    call = [sys.executable, "-m", "g2vlm.run.config"]
    path = write("__use_yte__: true\n?open('made', 'w'):\n  seeds: 2")
    for name, code in (("config/smoke.yaml", 0), (path, 2)):
        done = subprocess.run([*call, name], capture_output=True, text=True)
        assert done.returncode == code and done.stderr.count("\n") == (code != 0)
    assert f"error: {path}: unknown key `" in done.stderr


@pytest.mark.parametrize("target", ["reproduce", "verify"])
def test_make_checks_the_config_before_snakemake_reads_it(target):
    call = ["make", "--dry-run", target, "CONFIG=mine.yaml"]
    rows = subprocess.run(call, capture_output=True, text=True, check=True).stdout.splitlines()
    checked = next(n for n, row in enumerate(rows) if "-m g2vlm.run.config mine.yaml" in row)
    ran = next(n for n, row in enumerate(rows) if "snakemake" in row)
    assert checked < ran and "--configfile mine.yaml" in rows[ran]


@pytest.mark.parametrize("path", sorted(METHODS.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_a_method_cannot_be_scored_on_follows_its_switches(path):
    """The check needs no PyTorch, so it repeats what the predict stage leaves out."""
    from g2vlm.inference.predict import missing_tasks

    switches = method_switches(load_method(path.stem), path.name)
    untrained = untrained_tasks(switches)
    config = SimpleNamespace(votes=switches["supervision_3d"] > 0, language=switches["language"])
    missing = missing_tasks(config)
    assert set(missing) <= set(untrained)
    more = {"retrieval", "grounding_retrieval"} if not switches["align_loss"] else set()
    assert set(untrained) - set(missing) <= more
