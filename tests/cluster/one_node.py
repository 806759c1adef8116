"""A Slurm of one node on the loopback: started in a folder, stopped with all its jobs."""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Debian's `slurm-wlm` and `munge` bring all of them but the last, which every Debian has.
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "sinfo", "scontrol", "setpriv")
SBIN = "/usr/sbin:/sbin"
CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# No cgroups, which a container seldom lets one write.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Finished jobs stay listed, so that a test can ask what they had been given.
MinJobAge=86400
ReturnToService=2
GresTypes=gpu
# The configured size of the node counts, not the detected one.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpus}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A running Slurm: its folder and the environment in which its commands reach it."""

    folder: Path
    environment: dict[str, str]

    def call(self, *command):
        """Run one of Slurm's commands and return what it prints."""
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self):
        """Return a mapping for each job that was ever submitted, by `scontrol`'s names."""
        text = self.call("scontrol", "--oneliner", "show", "job")
        rows = [row for row in text.splitlines() if row.startswith("JobId=")]
        return [dict(part.split("=", 1) for part in row.split() if "=" in part) for row in rows]


def missing():
    """Return the commands that are not installed."""
    return [name for name in COMMANDS if shutil.which(name, path=_path()) is None]


@contextmanager
def running(gpus=1, cpus=None, memory_mb=64_000):
    """Start munge, the controller and one node; stop all of it, jobs included, at the end.

    The node has `gpus` simulated GPUs, which are assigned like GPUs and compute nothing.
    """
    # A short path: a socket's name holds about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="g2vlm-slurm-", dir="/tmp"))
    environment = {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin:{_path()}"}
    slurm = Slurm(folder, os.environ | environment)
    daemons = []
    try:
        _configure(folder, gpus, cpus or os.cpu_count(), memory_mb)
        for command in (_munged(folder), ["slurmctld", "-D", "-c"], ["slurmd", "-D"]):
            daemons.append(_start(slurm, command))
        _wait(slurm, daemons)
        yield slurm
    finally:
        if len(daemons) == 3:
            subprocess.run(["scancel", "--full", "-u", getpass.getuser()], env=slurm.environment)
        _stop(daemons)
        shutil.rmtree(folder, ignore_errors=True)


def _path():
    return f"{os.environ['PATH']}:{SBIN}"


def _configure(folder, gpus, cpus, memory_mb):
    for name in ("munge", "state", "spool", "bin"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    free = [socket.socket() for _ in range(2)]
    for one in free:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in free]
    for one in free:
        one.close()
    values = {"host": socket.gethostname().split(".")[0], "user": getpass.getuser()}
    values |= {"ports": ports, "folder": folder, "cpus": cpus, "memory_mb": memory_mb}
    (folder / "slurm.conf").write_text(CONF.format(**values, gpus=gpus))
    devices = [folder / f"gpu{number}" for number in range(gpus)]
    for device in devices:
        device.touch()
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={path}\n" for path in devices))

    # The executor hides Slurm's variables from the step that it starts, this one among them.
    srun = folder / "bin" / "srun"
    real = shutil.which("srun", path=_path())
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
    srun.chmod(0o755)


def _munged(folder):
    own = folder / "munge"
    files = {"socket": "socket", "key-file": "key", "log-file": "log", "pid-file": "pid"}
    paths = [f"--{option}={own / name}" for option, name in (files | {"seed-file": "seed"}).items()]
    return ["munged", "--foreground", "--force", "--num-threads=1", *paths]


def _start(slurm, command):
    log = open(slurm.folder / f"{command[0]}.out", "w")  # noqa: SIM115 - the daemon writes on
    # A killed test takes its daemons with it.
    call = ["setpriv", "--pdeathsig", "TERM", *command]
    return subprocess.Popen(
        call, stdout=log, stderr=log, env=slurm.environment, start_new_session=True
    )


def _wait(slurm, daemons, seconds=60):
    """Wait until the node takes jobs; fail with the output of the daemons if it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and all(daemon.poll() is None for daemon in daemons):
        call = ["sinfo", "--noheader", "--format=%T"]
        done = subprocess.run(call, capture_output=True, text=True, env=slurm.environment)
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    logs = sorted([*slurm.folder.glob("*.out"), *slurm.folder.glob("*.log")])
    text = "\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in logs)
    raise RuntimeError(f"Slurm did not start:\n{text}")


def _stop(daemons):
    """End the daemons and every process of their sessions, the last started first."""
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
