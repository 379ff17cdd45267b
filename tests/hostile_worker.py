"""A worker process whose decoder hangs, crashes or exits on files with such names."""

import ctypes
import os
import re
import sys
from multiprocessing.connection import Connection

from goodbad_pipeline.images import worker_process
from goodbad_pipeline.images.reading import Outcome, ReadSettings, Task, read_image


def read_or_fail(task: Task, settings: ReadSettings) -> Outcome:
    if task.rejection is None:
        if "hang" in task.path:
            re.match(r"(a|a)*$", "a" * 64 + "b")  # in C, where Python cannot handle signals
        if "crash" in task.path:
            ctypes.string_at(0)
        if "exit" in task.path:
            os._exit(3)
    return read_image(task, settings)


if __name__ == "__main__":
    worker_process.read_image = read_or_fail
    worker_process.serve(Connection(int(sys.argv[1])))
