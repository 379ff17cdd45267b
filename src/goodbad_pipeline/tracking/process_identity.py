"""Identity of a process across hosts, reboots and reused process ids."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SAME_START = 60.0  # seconds; clocks are adjusted, and process ids are reused only much later


@dataclass(frozen=True)
class ProcessIdentity:
    """Identifies one process among all past and future ones."""

    host: str
    boot: str  # identifier of the host's current boot
    pid: int
    started: float  # seconds since 1970

    def has_ended(self) -> bool:
        """Return whether the process has certainly ended; False for a process on another host."""
        current = current_process()
        if self.host != current.host:
            return False
        if self.boot != current.boot:
            return True
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START
            return not same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def current_process() -> ProcessIdentity:
    """Return the identity of the calling process; it changes in a forked child."""
    return ProcessIdentity(socket.gethostname(), _boot_id(), os.getpid(), psutil.Process().create_time())


def slurm_attempt() -> str:
    """Return ``<job id>.<number of requeues>`` within a Slurm job, such as ``4711.2``; an empty string elsewhere."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"{job}.{os.environ.get('SLURM_RESTART_COUNT', '0')}" if job else ""


def is_earlier_attempt(attempt: str) -> bool:
    """Return whether Slurm has requeued the job since ``attempt``, which has then ended on every host."""
    current = slurm_attempt()
    return bool(attempt) and attempt != current and attempt.partition(".")[0] == current.partition(".")[0]


@cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # not Linux
        return str(round(psutil.boot_time() / 60))
