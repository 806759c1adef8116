"""What must hold before any job; the checks are in g2vlm/run/guard.py."""

import sys
import time

sys.path.insert(0, workflow.basedir)

from g2vlm.run import guard

STARTED = time.time()
METHODS = guard.read_methods(config, workflow.configfiles)
# Only the process that the user started holds the lock.
LOCK = guard.enter(workflow.basedir, sys.argv) if workflow.is_main_process else None
