"""Start a training in this process, or in several through `accelerate launch`.

Each of several processes runs `python -m g2vlm.training.launch JOB.json`, where JOB.json holds the
arguments of `g2vlm.training.train.train`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from g2vlm.run.job import die_with_parent
from metrics.files import InputError, read_json, run_main


def launch(arguments: dict[str, Any], processes: int = 1) -> None:
    """Train one model.

    Args:
        arguments: of `g2vlm.training.train.train`; JSON values for more than one process.
        processes: how many train the model together.

    Raises:
        InputError: where a process failed; its own message is printed before.
    """
    if processes == 1:
        from g2vlm.training.train import train

        train(**arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.json"
        job.write_text(json.dumps(arguments), encoding="utf-8")
        # The processes print on this process's streams.
        with subprocess.Popen(
            command(processes, "-m", "g2vlm.training.launch", str(job)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_parent,
        ) as process:
            for row in process.stdout or ():
                print(row, end="", flush=True)
    if process.returncode:
        raise InputError(
            "accelerate launch: a process of this training ended with status "
            f"{process.returncode}; fix the fault that it reported above and run again"
        )


def command(processes: int, *target: str) -> list[str]:
    """Return the command that runs a script, or `-m module`, in several processes."""
    return [
        *(sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"),
        # Several local processes; without a GPU they communicate by gloo.
        "--multi_gpu",
        *("--num_processes", str(processes), "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
        # With port 0 the system chooses one, so that two trainings on one machine do not collide.
        *("--main_process_port", "0"),
        *target,
    ]


def main() -> None:
    """Train together with the other processes."""
    die_with_parent()
    launch(read_json(sys.argv[1]))


if __name__ == "__main__":
    run_main(main)
