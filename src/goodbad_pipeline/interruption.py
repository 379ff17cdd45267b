"""Ctrl-C and SIGTERM end a run within seconds: training writes a checkpoint first, and MLflow shows it as killed."""

import logging
import os
import signal
import socket
import threading
from typing import Any

from kedro.framework.hooks import hook_impl

from goodbad_pipeline import tracking
from goodbad_pipeline.tracking import KILLED
from goodbad_pipeline.training.stopping import STOP, Stopped

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 8.0  # seconds that work under way has to end in good order; checkpoints on disk are whole in any case
LAST_WORD = 2.0  # seconds that MLflow has to hear of it after that


class StopHooks:
    """Hears signals while a pipeline runs.

    A thread of its own listens: Python calls handlers in the main thread between two of its instructions, so not while
    that compiles a graph. A signal leaves a wish (:data:`STOP`) that training looks at after every step, and every node
    before it begins. What does neither in time is cut off.
    """

    def __init__(self) -> None:
        self._former: dict[int, Any] = {}
        self._wire: tuple[socket.socket, socket.socket] | None = None
        self._former_wire = -1
        self._timer: threading.Timer | None = None

    @hook_impl(trylast=True)
    def before_pipeline_run(self) -> None:
        """Begin to listen; the run is under way by now."""
        STOP.clear()
        if threading.current_thread() is threading.main_thread():  # no other may
            ears, mouth = self._wire = socket.socketpair()
            mouth.setblocking(False)
            self._former_wire = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._listen, args=(ears,), daemon=True, name="signals").start()
            self._former = {number: signal.signal(number, _heard) for number in SIGNALS}

    @hook_impl
    def before_node_run(self) -> None:
        """Begin no node that nobody wants any more."""
        if STOP:
            raise Stopped(STOP.reason, "between two nodes")

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Listen no longer."""
        self._end()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Listen no longer."""
        self._end()

    def _listen(self, ears: socket.socket) -> None:
        """Take up signals by their numbers, a byte each, until the other end is closed."""
        with ears:
            while number := ears.recv(1):
                if number[0] in SIGNALS:
                    self._ask(number[0])

    def _ask(self, number: int) -> None:
        if STOP:  # somebody asks twice, and means it
            self._give_up()
            return
        STOP.ask(signal.Signals(number).name)
        logger.warning("%s: ending after the step under way, within %.0f seconds", STOP.reason, GRACE + LAST_WORD)
        self._timer = threading.Timer(GRACE, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    def _give_up(self) -> None:
        """End at once: what is running hears nothing, such as a graph being compiled."""
        logger.warning("%s: what is running does not end by itself and is cut off", STOP.reason)
        try:
            tracking.cut_off_run(KILLED, LAST_WORD)
        finally:
            os._exit(exit_status(STOP.reason))

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}
        if self._wire is not None:
            signal.set_wakeup_fd(self._former_wire)
            self._wire[1].close()
            self._wire = None
        STOP.clear()


def _heard(*_: object) -> None:
    """Let a signal do nothing but wake the thread that listens; without a handler it would end the process."""


def exit_status(reason: str) -> int:
    """Status of a process that ends on a signal, named ``SIGTERM``: 128 and its number, as shells have it."""
    return 128 + signal.Signals[reason]
