"""A training to be killed. Started from a process that has imported it all already; it ends with status 0 or is killed.

HOW is ``live``, ``count`` (how many lines a run spends inside saves), ``step`` (SIGKILL in the middle of step NUMBER),
``save`` (SIGKILL at line NUMBER inside saves) or ``term`` (SIGTERM during step NUMBER). What lives writes its hash and
that count into ``outcome`` in its folder.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import keras
import tensorflow as tf
from tiny_training import tiny_fit

from goodbad_pipeline.training.checkpoints import CheckpointFolder
from goodbad_pipeline.training.stopping import STOP, Stopped

lines: list[None] = []  # one a line of code inside saves


def die_soon(number: int) -> None:
    """Kill the process from another thread, a few milliseconds into a step."""
    time.sleep(0.001 * (number % 7))
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(number: int, how: str) -> None:
    real, done = keras.Model.train_on_batch, []

    def watched(self, *data, **options):
        done.append(None)
        if len(done) == number and how == "step":
            threading.Thread(target=die_soon, args=(number,)).start()
        if len(done) == number and how == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, *data, **options)

    keras.Model.train_on_batch = watched


def inside_saves(number: int) -> None:
    real = CheckpointFolder.save

    def trace(frame, event, argument):
        lines.append(None)
        if len(lines) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def watched(self, *arguments):
        sys.settrace(trace)
        try:
            return real(self, *arguments)
        finally:
            sys.settrace(None)

    CheckpointFolder.save = watched


def main(folder: Path, how: str, number: int) -> None:
    tf.config.run_functions_eagerly(True)
    if how in ("step", "term"):
        at_step(number, how)
    if how in ("save", "count"):
        inside_saves(number)
    signal.signal(signal.SIGTERM, lambda *_: STOP.ask("SIGTERM"))
    try:
        found = tiny_fit(folder)
    except Stopped:
        sys.exit(143)
    (folder / "outcome").write_text(f"{found} {len(lines)}")
