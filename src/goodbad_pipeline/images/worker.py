"""``python -m goodbad_pipeline.images.worker FD``: read files for the process at the other end of a socket.

A file may hang the decoder, crash it or eat all memory. So it is decoded here, under limits that the system enforces:
an alarm that no C code can ignore, and a ceiling on memory. The parent sees this process end, knows from which file it
had no answer yet, and starts another.
"""

import os
import resource
import signal
import sys
from multiprocessing.connection import Connection

from goodbad_pipeline.images.reading import Outcome, ReadSettings, Task, read_image

OUT_OF_MEMORY_STATUS = 77
_IDLE_SECONDS = 60.0  # a worker that nobody asks any more, or whose parent was killed, goes


def serve(connection: Connection) -> None:
    """Answer lists of tasks, one outcome at a time, until the other end is closed."""
    settings: ReadSettings = connection.recv()
    _limit(settings.limits.memory)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes its end
    connection.send(os.getpid())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # libtiff and others tell it every warning
    while True:
        signal.setitimer(signal.ITIMER_REAL, _IDLE_SECONDS)
        try:
            tasks = connection.recv()
        except EOFError:
            return
        for task in tasks:
            signal.setitimer(signal.ITIMER_REAL, settings.limits.seconds)
            connection.send(_read(task, settings))


def _read(task: Task, settings: ReadSettings) -> Outcome:
    """Read one file; without enough memory for it end the process, for a heap in pieces serves no other file."""
    try:
        return read_image(task, settings)
    except MemoryError:
        os._exit(OUT_OF_MEMORY_STATUS)


def _limit(memory: int) -> None:
    """Allow ``memory`` bytes more than are in use, no core dump, and no write to any file."""
    if sys.platform == "linux":  # macOS has no such limit
        with open("/proc/self/statm") as stream:
            in_use = int(stream.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + memory, in_use + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
