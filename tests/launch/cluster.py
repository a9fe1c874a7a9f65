"""A Slurm of one node on loopback: munged, slurmctld and slurmd with all their files below one folder.

Needs root, munge and slurm-wlm (Debian's packages); touches nothing of an installed Slurm's own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
START_SECONDS = 60.0
NODE = "n1"

CONF = """\
ClusterName=cogexp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node_port}
SrunPortRange=30000-60000
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
OverTimeLimit=0
SchedulerParameters=batch_sched_delay=0,sched_interval=2
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing() -> str:
    """Why there can be no such cluster here; '' when there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "needs root"
    lacking = [name for name in PROGRAMS if _program(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


class Cluster:
    """The daemons, from `start` to `stop`; `environment` is what a client needs to find them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.cpus = psutil.cpu_count() or 1
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Write the configuration, start the daemons and wait until the node is idle."""
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o755, parents=True)
        controller, node_port = _free_ports(2)
        (self.folder / "slurm.conf").write_text(
            CONF.format(
                host=socket.gethostname().partition(".")[0],
                folder=self.folder,
                controller=controller,
                node_port=node_port,
                node=NODE,
                cpus=self.cpus,
                memory=int(psutil.virtual_memory().total / 2**20 * 0.9),
            )
        )
        self._munge()
        self._daemon("slurmctld", "-D", "-i", "-c")
        self._daemon("slurmd", "-D", "-N", NODE)
        self.wait(lambda: self.state() == "idle", "the node is idle")

    def _munge(self) -> None:
        munge = self.folder / "munge"
        key = munge / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        paths = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        options = [f"--{option}={munge / name}" for option, name in paths.items()]
        self._daemon("munged", "--foreground", "--force", *options)
        self.wait((munge / "socket").exists, "munged answers")

    def _daemon(self, name: str, *arguments: str) -> None:
        program = _program(name)
        assert program is not None
        log = (self.folder / f"{name}.out").open("wb")
        with log:
            process = subprocess.Popen(
                [program, *arguments], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._daemons.append(process)

    def stop(self) -> None:
        """End every job and every daemon."""
        self.tell("scancel", f"--user={os.geteuid()}", check=False)
        end = time.monotonic() + 15
        while self.jobs() and time.monotonic() < end:  # a step outlives the daemon that started it
            time.sleep(0.1)
        for process in reversed(self._daemons):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def tell(self, *words: str, check: bool = True) -> str:
        """What a client of Slurm answers."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def state(self) -> str:
        """The node's state in sinfo's word: idle, mixed, allocated, draining, drained, down ..."""
        return self.tell("sinfo", "--noheader", "-o", "%T", check=False)

    def jobs(self, states: str = "PENDING,RUNNING,COMPLETING") -> list[str]:
        """Ids of the jobs in these states, oldest first."""
        found = self.tell("squeue", "--noheader", f"--states={states}", "-o", "%i", check=False)
        return sorted(found.split(), key=int)

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        """Until `condition` holds; it fails the test with the daemons' logs."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = [f"{file.name}: {file.read_text()[-1500:]}" for file in self.folder.glob("*.log")]
                outs = [f"{file.name}: {file.read_text()[-500:]}" for file in self.folder.glob("*.out")]
                raise AssertionError(f"not within {seconds:.0f} s: {what}\n" + "\n".join(logs + outs))
            time.sleep(0.1)


def _program(name: str) -> str | None:
    """Daemons lie in sbin, which a user's PATH often lacks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
