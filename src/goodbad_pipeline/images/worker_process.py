"""``python -m goodbad_pipeline.images.worker_process FD``: a worker process that reads files for its parent.

A file can make a decoder hang, crash or use all memory. Files are therefore decoded in this process, under limits that
the system enforces: an alarm that C code cannot ignore, and a memory limit. If this process ends, the parent knows
which file it was reading, and starts another process. Messages are pickled and sent over the socket with file
descriptor FD.
"""

import os
import resource
import signal
import sys
from multiprocessing.connection import Connection

from goodbad_pipeline.images.reading import ReadSettings, read_image

OUT_OF_MEMORY_STATUS = 77
_IDLE_SECONDS = 60.0  # a worker without tasks, for example because its parent was killed, ends after this time


def serve(connection: Connection) -> None:
    """Receive lists of tasks and send one outcome at a time, until the parent closes the connection."""
    settings: ReadSettings = connection.recv()
    _limit(settings.limits.memory)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the parent, which then closes its end
    connection.send(os.getpid())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # libtiff and others write warnings there
    while True:
        signal.setitimer(signal.ITIMER_REAL, _IDLE_SECONDS)
        try:
            tasks = connection.recv()
        except EOFError:
            return
        for task in tasks:
            signal.setitimer(signal.ITIMER_REAL, settings.limits.seconds)
            try:
                outcome = read_image(task, settings)
            except MemoryError:  # end the process: its fragmented heap could fail on other files
                os._exit(OUT_OF_MEMORY_STATUS)
            connection.send(outcome)


def _limit(memory: int) -> None:
    """Limit this process to ``memory`` bytes more than now, no core dump, and no write to any file."""
    if sys.platform == "linux":  # macOS has no such limit
        with open("/proc/self/statm") as stream:
            in_use = int(stream.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + memory, in_use + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
