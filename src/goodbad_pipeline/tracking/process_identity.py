"""Which process something belongs to, and whether that has ended."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SAME_START = 60.0  # seconds: clocks are put right, and numbers of processes come round again much later


@dataclass(frozen=True)
class ProcessMark:
    """What tells a process apart from all others, past and to come.

    Attributes:
        host: Name of its machine.
        boot: That machine's present life, from one start to the next.
        pid: Number of the process.
        started: When it began, seconds since 1970.
    """

    host: str
    boot: str
    pid: int
    started: float

    def has_ended(self) -> bool:
        """Whether it certainly is no more; of a process on another machine nothing is certain."""
        mine = this_process()
        if self.host != mine.host:
            return False
        if self.boot != mine.boot:
            return True
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START
            return not same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


@cache
def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # no Linux
        return str(round(psutil.boot_time() / 60))


def this_attempt() -> str:
    """Return which attempt at which job of Slurm's this is, ``4711.2`` after two requeues; empty outside a job."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"{job}.{os.environ.get('SLURM_RESTART_COUNT', '0')}" if job else ""


def was_requeued(attempt: str) -> bool:
    """Whether this is another attempt at the same job: Slurm ends one, on every host, before it begins the next."""
    mine = this_attempt()
    return bool(attempt) and attempt != mine and attempt.partition(".")[0] == mine.partition(".")[0]


def this_process() -> ProcessMark:
    """Return the mark of the process that asks; after a fork it is another."""
    return ProcessMark(socket.gethostname(), _boot(), os.getpid(), psutil.Process().create_time())
