"""Progress of a job as lines: stage, share done, time left."""

import sys
import time
from datetime import timedelta


class Progress:
    """Call it with (done, total). It prints a line at the start, every few seconds and at the end.

    It prints whole lines and does not redraw a bar, because jobs run side by side on one terminal.
    """

    def __init__(self, stage: str, every_seconds: float = 10.0) -> None:
        self.stage, self.every = stage, every_seconds
        self.started = self.printed = time.monotonic()
        self._first = True

    def __call__(self, done: int, total: int) -> None:
        """Report that `done` of `total` equal parts are done."""
        now = time.monotonic()
        finished = done >= total
        if not (self._first or finished or now - self.printed >= self.every):
            return
        self._first, self.printed = False, now
        elapsed = now - self.started
        if finished:
            note = f"done in {timedelta(seconds=round(elapsed))}"
        elif done:
            note = f"{timedelta(seconds=round(elapsed / done * (total - done)))} left"
        else:
            note = "begun"
        share = 100 * done // max(total, 1)
        print(f"{self.stage}: {share:3d} % ({done}/{total}), {note}", file=sys.stderr, flush=True)
