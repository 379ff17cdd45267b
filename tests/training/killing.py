"""Trainings that are killed, forked from a process that has imported everything; they exit with status 0 or are killed.

HOW is ``live``, ``step`` (SIGKILL in the middle of step NUMBER), ``line`` (SIGKILL at line NUMBER of the package's
code), ``save`` (SIGKILL at line NUMBER of any code inside saves) or ``term`` (SIGTERM at line NUMBER of the package's
code). A process that is not killed writes its hash and the number of such lines to ``outcome`` in its folder.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from tiny_training import tiny_fit

import goodbad_pipeline
from goodbad_pipeline.training.checkpoints import CheckpointFolder
from goodbad_pipeline.training.stopping import Stopped, StopRequest

PACKAGE = str(Path(goodbad_pipeline.__file__).parent)
places: list[None] = []  # one for each that a run came by


def die_soon(number: int) -> None:
    """Kill the process from another thread, a few milliseconds into a step."""
    time.sleep(0.001 * (number % 7))
    os.kill(os.getpid(), signal.SIGKILL)


def in_steps(number: int) -> None:
    real = keras.Model.train_on_batch

    def watched(self, *data, **options):
        places.append(None)
        if len(places) == number:
            threading.Thread(target=die_soon, args=(number,)).start()
        return real(self, *data, **options)

    keras.Model.train_on_batch = watched


def at_line(number: int, sent: signal.Signals, folder: str = "") -> Callable:
    """A tracer that sends a signal at some line of the files of a folder."""

    def trace(frame, event, argument):
        if not frame.f_code.co_filename.startswith(folder):
            return None
        places.append(None)
        if len(places) == number:
            os.kill(os.getpid(), sent)
        return trace

    return trace


def inside_saves(number: int) -> None:
    real, trace = CheckpointFolder.save, at_line(number, signal.SIGKILL)

    def watched(self, *arguments):
        sys.settrace(trace)
        try:
            return real(self, *arguments)
        finally:
            sys.settrace(None)

    CheckpointFolder.save = watched


def main(folder: Path, how: str, number: int, options: dict) -> None:
    tf.config.run_functions_eagerly(True)
    stop = StopRequest()
    signal.signal(signal.SIGTERM, lambda *_: stop.set("SIGTERM"))
    if how == "step":
        in_steps(number)
    if how == "save":
        inside_saves(number)
    if how in ("line", "term"):
        sys.settrace(at_line(number, signal.SIGKILL if how == "line" else signal.SIGTERM, PACKAGE))
    try:
        found = tiny_fit(folder, stop=stop, **options)
    except Stopped:
        sys.exit(143)
    finally:
        sys.settrace(None)
    (folder / "outcome").write_text(f"{found} {len(places)}")
