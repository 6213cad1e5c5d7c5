"""A real SLURM on this machine: two cpu nodes, and one with two GPUs that are none; all on loopback, without systemd.

    with Cluster() as cluster:
        cluster.run("sbatch", "--wrap", "true")

Partitions: `cpu`, `preempt` (the same nodes; its jobs are requeued when one of `cpu` wants their place) and `gpu`.
Memory and time limits are enforced. There is no accounting: `squeue` answers, `sacct` does not.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ETC = Path("/etc/slurm")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")
NODES = {"c1": "", "c2": "", "g1": "Gres=gpu:fake:2"}

CONFIG = """
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={root}/munge.socket,cred_expire=10
# Bind to the address that a node's name resolves to, which is loopback, not to all.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd-%n.log
# By process group: what a killed parent leaves behind is found and killed too, as by the cgroups of a site.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
# The nodes may claim more than the machine has.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,defer_batch=0
GresTypes=gpu
TaskProlog={root}/prolog
MinJobAge=600
# Limits bite at once: memory is looked at every second, a time limit has no grace, and SIGKILL follows SIGTERM in 3 s.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
OverTimeLimit=0
EnforcePartLimits=ALL
KillWait=3
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/log/finished.log
{nodes}
PartitionName=cpu Nodes=c1,c2 Default=YES MaxTime=1440 PriorityTier=10 DefMemPerCPU=256
PartitionName=preempt Nodes=c1,c2 MaxTime=1440 PriorityTier=1 PreemptMode=REQUEUE DefMemPerCPU=256
PartitionName=gpu Nodes=g1 MaxTime=1440 PriorityTier=10 DefMemPerCPU=256
"""
GRES = "AutoDetect=off\nNodeName=g1 Name=gpu Type=fake File={root}/gpu[0-1]\n"
PROLOG = """#!/bin/sh
[ -z "$CUDA_VISIBLE_DEVICES" ] || echo "$SLURM_JOB_ID $CUDA_VISIBLE_DEVICES" >> {root}/log/gpus.log
"""
CGROUP = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\nConstrainDevices=no\n"


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Poll; raises TimeoutError which says what did not come."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {seconds} s")
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def located(name: str) -> str | None:
    """Where a program is; Debian keeps daemons where the PATH of a user or of a bare CI does not look."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


class Cluster:
    """Context manager of the machine's one cluster; a second one waits for the first, also in another process.

    Attributes:
        root: its files; log/ holds the daemons' logs.
    """

    def __init__(self, cpus: int = 4, memory: int = 16000) -> None:
        """Nodes of so many cpus and MB; there need not be as many in the machine."""
        self.cpus, self.memory = cpus, memory
        self.root = Path(tempfile.gettempdir()) / "truthward-slurm"
        self._daemons: list[subprocess.Popen] = []

    def impossible(self) -> str | None:
        """Why no cluster can be raised here, if so."""
        missing = [name for name in PROGRAMS if located(name) is None]
        config = ETC / "slurm.conf"
        if missing:
            return f"needs {', '.join(missing)}: tests/cluster/packages.sh installs SLURM and munge on Debian"
        if os.geteuid() != 0:
            return "needs root: the daemons of SLURM start jobs in the name of users"
        if os.path.lexists(config) and not self._is_own(config):
            return f"{config} is of another cluster"
        return None

    def __enter__(self) -> Cluster:
        self._lock = self.root.with_suffix(".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._stop_leftovers()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Jobs first: their steps would outlive the daemons."""
        if len(self._daemons) > 1:
            subprocess.run(["scancel", "--user=root"], capture_output=True, check=False, timeout=60)
            wait_until(lambda: not self.jobs("PENDING,RUNNING,COMPLETING,SUSPENDED"), 300, "the end of all jobs")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        self._unlink()
        shutil.rmtree(self.root, ignore_errors=True)
        self._lock.close()

    def run(self, *command: str) -> str:
        """Standard output of a command; raises where it fails."""
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self, states: str = "all") -> list[dict[str, str]]:
        """Jobs of the last ten minutes, a task of an array each: id, state, partition, comment (rule, wildcards), name.

        The name is that of the call of Snakemake; `states` are those of `squeue --states`.
        """
        text = self.run("squeue", "--noheader", "--array", f"--states={states}", "--format=%i|%T|%P|%j|%k")
        names = ("id", "state", "partition", "name", "comment")
        return [dict(zip(names, line.split("|", 4), strict=True)) for line in text.splitlines()]

    def log(self, name: str) -> str:
        """What a daemon logged: slurmctld, slurmd-c1, ..., munged.

        Or `finished`, a line a job that has ended; or `gpus`, id and CUDA_VISIBLE_DEVICES of each task that has any.
        """
        path = self.root / "log" / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def _is_own(self, path: Path) -> bool:
        return path.is_symlink() and path.readlink().parent == self.root

    def _start(self) -> None:
        for name in ("munge", "state", "spool", "log"):
            (self.root / name).mkdir(parents=True)
        for name in NODES:
            (self.root / "spool" / name).mkdir()
        (self.root / "munge").chmod(0o700)
        for i in range(2):
            os.mknod(self.root / f"gpu{i}", 0o20666, os.makedev(1, 3))
        self._configure()
        self._munge()
        self._daemon("slurmctld", "slurmctld", "-D")
        wait_until(lambda: self._answers("scontrol", "ping"), 300, "slurmctld")
        for name in NODES:
            self._daemon(f"slurmd-{name}", "slurmd", "-D", "-N", name)
        wait_until(self._ready, 300, f"the nodes of SLURM (see {self.root}/log)")

    def _munge(self) -> None:
        folder = self.root / "munge"
        (folder / "key").write_bytes(secrets.token_bytes(1024))
        (folder / "key").chmod(0o600)
        options = [f"--{name}-file={folder / name}" for name in ("key", "seed", "pid")]
        options += [f"--socket={self.root}/munge.socket", f"--log-file={self.root}/log/munged.log"]
        self._daemon("munged", "munged", "--foreground", *options)
        wait_until(lambda: self._answers("munge", f"--socket={self.root}/munge.socket", "--no-input"), 300, "munged")

    def _configure(self) -> None:
        ports = free_ports(1 + len(NODES))
        host = socket.gethostname().partition(".")[0]
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={self.cpus} "
            f"RealMemory={self.memory} {more} State=UNKNOWN"
            for (name, more), port in zip(NODES.items(), ports[1:], strict=True)
        )
        texts = {
            "slurm.conf": CONFIG.format(root=self.root, host=host, ports=ports, nodes=nodes),
            "gres.conf": GRES.format(root=self.root),
            "cgroup.conf": CGROUP,
        }
        (self.root / "prolog").write_text(PROLOG.format(root=self.root), encoding="utf-8")
        (self.root / "prolog").chmod(0o755)
        ETC.mkdir(exist_ok=True)
        for name, text in texts.items():
            (self.root / name).write_text(text, encoding="utf-8")
            # The job step of Snakemake's plugin strips SLURM_CONF: what it calls looks here.
            (ETC / name).symlink_to(self.root / name)

    def _daemon(self, name: str, *command: str) -> None:
        """Start in the foreground, as a child that a signal to the tests does not reach, and note its pid."""
        with (self.root / "log" / f"{name}.out").open("w") as out:
            child = subprocess.Popen(
                command,
                executable=located(command[0]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self.root,
            )
        self._daemons.append(child)
        with (self.root / "pids").open("a") as pids:
            pids.write(f"{child.pid} {command[0]}\n")

    def _answers(self, *command: str) -> bool:
        for daemon in self._daemons:
            if daemon.poll() is not None:
                said = (self.root / "log" / f"{daemon.args[0]}.out").read_text() + self.log(daemon.args[0])
                raise RuntimeError(f"{daemon.args[0]} ended with {daemon.returncode}: {said[-2000:]}")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return done.returncode == 0 and "DOWN" not in done.stdout

    def _ready(self) -> bool:
        states = self.run("sinfo", "--noheader", "--Node", "--format=%T").split()
        return bool(states) and set(states) <= {"idle"}

    def _stop_leftovers(self) -> None:
        """Of a session that was killed: nobody else can be using them, we hold the lock."""
        pids = self.root / "pids"
        lines = pids.read_text(encoding="utf-8").split("\n") if pids.is_file() else []
        for pid, name in (line.split() for line in reversed(lines) if line):
            comm = Path(f"/proc/{pid}/comm")
            if comm.is_file() and comm.read_text().startswith(name):
                os.kill(int(pid), signal.SIGKILL)
        self._unlink()
        shutil.rmtree(self.root, ignore_errors=True)

    def _unlink(self) -> None:
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            if self._is_own(ETC / name):
                (ETC / name).unlink()


def rows(jobs: Iterable[dict[str, str]], **values: str) -> list[dict[str, str]]:
    """Jobs that have these values."""
    return [job for job in jobs if all(job[key] == value for key, value in values.items())]
