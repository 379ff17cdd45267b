"""A training to be killed: ``python killing.py FOLDER HOW NUMBER`` prints its hash, if it lives that long.

HOW is ``live``, ``count`` (prints how many lines a run spends inside saves), ``step`` (SIGKILL in the middle of step
NUMBER), ``save`` (SIGKILL at line NUMBER inside saves) or ``term`` (SIGTERM during step NUMBER).
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


def main(folder: str, how: str, number: str) -> None:
    tf.config.run_functions_eagerly(True)
    if how in ("step", "term"):
        at_step(int(number), how)
    if how in ("save", "count"):
        inside_saves(int(number))
    signal.signal(signal.SIGTERM, lambda *_: STOP.ask("SIGTERM"))
    try:
        sys.stdout.write(f"{tiny_fit(Path(folder))}\n{len(lines)}\n")
    except Stopped:
        sys.exit(143)


if __name__ == "__main__":
    main(*sys.argv[1:])
