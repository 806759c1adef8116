"""The memory of this process."""

import re
from pathlib import Path


def peak_memory_mb() -> float:
    """Return the largest resident set of this process so far, as Linux counts it, in MiB.

    The peak of `getrusage` begins with the memory of the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return round(int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) / 1024, 1)
