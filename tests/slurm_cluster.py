"""A real SLURM cluster on this machine: a controller and machines of two cores each, without accounts or keys."""

from __future__ import annotations

import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["SlurmCluster", "slurm_cluster"]

_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=10000,batch_sched_delay=0
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SlurmdTimeout=8
KillWait=1
MinJobAge=300
"""
_MACHINE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=8000\n"
_PARTITION = "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
_SECONDS = 90.0


class SlurmCluster:
    """The cluster.

    Args:
        folder: for its files.
        names: of its machines.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._folder = folder
        (folder / "state").mkdir(parents=True)
        host = socket.gethostname().partition(".")[0]
        user = pwd.getpwuid(os.getuid()).pw_name
        text = _CONFIG.format(host=host, port=_free_port(), user=user, folder=folder)
        text += "".join(_MACHINE.format(name=name, host=host, port=_free_port()) for name in names)
        self.config = folder / "slurm.conf"
        self.config.write_text(text + _PARTITION)
        self._machines: dict[str, subprocess.Popen[bytes]] = {}
        self._controller = self._start("slurmctld", "-D", "-i")
        for name in names:
            self.start(name)

    def wait(self) -> None:
        """Wait until all machines are there."""
        names = list(self._machines)
        self._wait(lambda: all(f"{name}|idle" in self.ask("sinfo", "-N", "-h", "-o", "%N|%t") for name in names))

    def start(self, name: str) -> None:
        """Start a machine."""
        self._machines[name] = self._start("slurmd", "-D", "-N", name)

    def kill(self, name: str) -> None:
        """Let a machine die at once, with what runs on it."""
        ended = self._machines.pop(name)
        for pid in _under(self._folder, name):
            os.kill(pid, signal.SIGKILL)
        ended.kill()
        ended.wait()

    def stop_controller(self) -> None:
        """End the controller in order: it saves its state only now and then, and would start jobs anew else."""
        self._controller.terminate()
        self._controller.wait()

    def start_controller(self) -> None:
        """Start the controller again."""
        self._controller = self._start("slurmctld", "-D")

    def ask(self, *command: str) -> str:
        """Return what a command of SLURM says; empty if the controller does not answer yet."""
        return subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False).stdout

    def close(self) -> None:
        """End it."""
        try:
            if all(process.poll() is None for process in self._daemons):
                self.ask("scancel", f"--user={os.getuid()}")
                self._wait(lambda: not self.ask("squeue", "-h", "-t", "running,pending,completing").strip())
        finally:
            for process in self._daemons:
                process.terminate()
            for process in self._daemons:
                try:
                    process.wait(_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    @property
    def _daemons(self) -> list[subprocess.Popen[bytes]]:
        return [*self._machines.values(), self._controller]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.config)}

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / "daemons.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment)

    def _wait(self, condition: object) -> None:
        assert callable(condition)
        deadline = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self._folder / "daemons.log").read_text()[-4000:]
            time.sleep(0.1)


@contextmanager
def slurm_cluster(folder: Path, *names: str) -> Iterator[SlurmCluster]:
    """Yield a cluster with machines of these names."""
    cluster = SlurmCluster(folder, names)
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.close()


def _free_port() -> int:
    """Return a port below those that systems give away, so that nobody is given it before it is used."""
    for port in random.SystemRandom().sample(range(20000, 32000), 100):
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def _under(folder: Path, name: str) -> list[int]:
    """Return the processes of a machine's jobs, by a variable that SLURM gives them, and their keepers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if (
                f"SLURMD_NODENAME={name}".encode() in variables
                and f"SLURM_CONF={folder}/slurm.conf".encode() in variables
            ):
                found += [parent, int(entry.name)]
    keepers = [pid for pid in found if Path(f"/proc/{pid}/comm").exists()]
    return list(dict.fromkeys(keepers))
