"""List, create or run baselines: `python -m baselines list | new NAME | run NAME ...`."""

import argparse
import keyword
import re
import shutil
from pathlib import Path

from baselines.contract import Context, Inputs, SplitTruth, load, names
from metrics.files import InputError, atomic_path, run_main
from metrics.truth import Truth
from metrics.yaml_file import read_yaml

HERE = Path(__file__).parent


def main() -> None:
    """Parse the command line and act on it."""
    parser = argparse.ArgumentParser(prog="python -m baselines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name every baseline and what it does")
    new = commands.add_parser("new", help="create the folder of a baseline that runs")
    new.add_argument("name", help="lower-case letters, digits and underscores")
    run = commands.add_parser("run", help="write the submissions of one baseline")
    run.add_argument("name", help="a folder under baselines/")
    run.add_argument("--experiment", type=Path, required=True, metavar="FOLDER",
                     help="results folder that holds scenes/, truth/ and features/")  # fmt: skip
    run.add_argument("--splits", nargs="+", default=["val", "dev_scene", "dev_asset"])
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--out", type=Path, help="default: EXPERIMENT/predictions/NAME/SEED")
    run.add_argument("--config", help="experiment config with its `seed` and `pretrained`")
    arguments = parser.parse_args()
    if arguments.command == "list":
        for name in names():
            method = load(name)
            kind = "control" if method.USES_TRUTH else "method"
            print(
                f"{name:16} {'pretrained' if method.PRETRAINED else kind:10} {method.DESCRIPTION}"
            )
    elif arguments.command == "new":
        name = write_skeleton(arguments.name).name
        print(
            f"edit baselines/{name}/method.py (baselines/contract.py describes the interface)\n"
            f"next: python -m pytest tests/baselines -k {name}, then make smoke"
        )
    else:
        run_baseline(
            arguments.name,
            arguments.experiment,
            arguments.splits,
            arguments.seed,
            arguments.out,
            read_yaml(arguments.config) if arguments.config else {},
        )


def write_skeleton(name: str, root: Path = HERE) -> Path:
    """Write `root`/`name`/ with a method that predicts the mean room, and return the folder.

    Raises:
        InputError: the name is taken, or is not valid both for Snakemake and for Python.
    """
    folder = root / name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(
            f"baseline {name!r}: use lower-case letters, digits and underscores, a letter first"
        )
    if folder.exists() or (root.parent / "config" / "methods" / f"{name}.yaml").exists():
        raise InputError(f"baseline {name}: the name is taken; choose another")
    with atomic_path(folder, folder=True) as temporary:
        (temporary / "__init__.py").touch()
        shutil.copyfile(HERE / "skeleton" / "method.py.in", temporary / "method.py")
    return folder


def run_baseline(
    name: str,
    experiment: Path,
    splits: list[str],
    seed: int,
    out: Path | None = None,
    config: dict | None = None,
    truth_dir: Path | None = None,
    most: int | None = None,
) -> None:
    """Write one submission per split.

    Args:
        name: a folder under baselines/.
        experiment: results folder with scenes/, truth/ and features/.
        splits: names of the splits to predict.
        seed: the run's seed.
        out: where the submissions go; predictions/NAME/SEED in the experiment if None.
        config: the experiment's `seed` and `pretrained`.
        truth_dir: holds the truth of each split; truth/ in the experiment if None.
        most: predict the first scenes of each split, at most this many; all if None.

    Raises:
        InputError: a split is not rendered, or the baseline needs what the experiment lacks.
    """
    from g2vlm.features.names import TEXTS
    from g2vlm.features.readers import open_texts
    from g2vlm.scenes.dataset import SceneStore

    method = load(name)
    for split in splits:
        if not (experiment / "scenes" / split).is_dir():
            raise InputError(f"{experiment}/scenes/{split}: no such folder; render it first")
    stores = {split: SceneStore(experiment / "scenes" / split, most=most) for split in splits}
    truth = {
        split: SplitTruth(Truth((truth_dir or experiment / "truth") / split), store)
        for split, store in stores.items()
        if method.USES_TRUTH
    }
    train, texts = experiment / "scenes" / "train", experiment / "features" / TEXTS
    method.predict(
        Context(
            name=name,
            seed=seed,
            out=out or experiment / "predictions" / name / str(seed),
            splits={split: Inputs(store) for split, store in stores.items()},
            train=SceneStore(train) if train.is_dir() else None,
            truth=truth,
            text=open_texts(experiment, splits) if texts.is_dir() else None,
            config=config or {},
        )
    )


if __name__ == "__main__":
    run_main(main)
