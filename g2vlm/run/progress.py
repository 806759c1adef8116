"""Progress that a person can follow: stage, share done, time left."""

from __future__ import annotations

import sys
import time


class Progress:
    """Call it with (done, total); it prints a row at the start, every few seconds, at the end.

    Rows are whole lines, not a redrawn bar: two jobs run side by side on one terminal.
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
        taken = now - self.started
        if finished:
            tail = f"done in {span(taken)}"
        elif done:
            tail = f"{span(taken / done * (total - done))} left"
        else:
            tail = "begun"
        share = 100 * done // max(total, 1)
        print(f"{self.stage}: {share:3d} % ({done}/{total}), {tail}", file=sys.stderr, flush=True)


def span(seconds: float) -> str:
    """Return a length of time in words: "8 s", "3 min 20 s", "2 h 05 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
