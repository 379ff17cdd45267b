"""Ctrl-C and SIGTERM end a run within seconds: training writes a checkpoint first, and MLflow shows it as killed."""

import logging
import os
import signal
import threading
from types import FrameType
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

    Nodes may run in a thread, which no signal reaches: the handler leaves a wish (:data:`STOP`) that training looks at
    after every step, and every node before it begins. What does neither in time is cut off.
    """

    def __init__(self) -> None:
        self._former: dict[int, Any] = {}
        self._timer: threading.Timer | None = None

    @hook_impl(trylast=True)
    def before_pipeline_run(self) -> None:
        """Begin to listen; the run is under way by now."""
        STOP.clear()
        if threading.current_thread() is threading.main_thread():  # no other may
            self._former = {number: signal.signal(number, self._ask) for number in SIGNALS}

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

    def _ask(self, number: int, frame: FrameType | None) -> None:
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
        STOP.clear()


def exit_status(reason: str) -> int:
    """Status of a process that ends on a signal, named ``SIGTERM``: 128 and its number, as shells have it."""
    return 128 + signal.Signals[reason]
