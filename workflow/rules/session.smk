"""Checks before any job and messages at the end; g2vlm/run/session.py implements them."""

import sys
import time

sys.path.insert(0, workflow.basedir)

from g2vlm.run import session

STARTED = time.time()
# Jobs run in processes of their own, with a config that is checked already.
if workflow.is_main_process:
    session.check(
        config, workflow.overwrite_configfiles, workflow.config_settings.config
    )
METHODS = session.read_methods(config)
RESULTS = f"results/{config['experiment']}"
# Only the process that the user started takes the lock.
LOCK = session.start(workflow.basedir, sys.argv) if workflow.is_main_process else None

if LOCK:
    logger.addHandler(session.NothingToDo(RESULTS))


onsuccess:
    print(session.summary(RESULTS))


onerror:
    print(session.failures(RESULTS, STARTED), file=sys.stderr)
