"""One of several processes of a training: `accelerate launch ... -m g2vlm.training JOB.json`.

JOB.json holds the arguments of `g2vlm.training.train.train`; the workflow writes it.
"""

import argparse

from metrics.files import read_json, run_main


def main() -> int:
    """Train together with the other processes, with the arguments in the job's file."""
    parser = argparse.ArgumentParser(prog="g2vlm.training", description=__doc__)
    parser.add_argument("job", help="JSON file with the arguments of the training")
    arguments = read_json(parser.parse_args().job)
    from g2vlm.run.job import die_with_parent
    from g2vlm.training.train import train

    die_with_parent()
    train(**arguments)
    return 0


if __name__ == "__main__":
    run_main(main)
