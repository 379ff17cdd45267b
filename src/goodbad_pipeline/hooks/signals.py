"""Ctrl-C and SIGTERM end a run within seconds: training writes a checkpoint first, and MLflow shows it as killed."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, MemoryDataset

from goodbad_pipeline import tracking
from goodbad_pipeline.tracking import KILLED
from goodbad_pipeline.training.stopping import StopRequest

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 8.0  # seconds that work under way has to end in good order; checkpoints on disk are whole in any case
LAST_WORD = 2.0  # seconds that MLflow has to hear of it after that


class StopHooks:
    """Turns SIGINT and SIGTERM into a stop request while a pipeline runs.

    Training checks the request after every step, and this hook before every node. A process that has not stopped
    within the grace period is ended. A thread listens for signals: Python calls handlers in the main thread, between
    two instructions, so not while that thread compiles a graph. The handlers listen too, because an event loop may
    replace the file descriptor that wakes the thread.
    """

    def __init__(self) -> None:
        self.stop_request = StopRequest()
        self._former: dict[int, Any] = {}
        self._wire: _Wire | None = None
        self._heard = [0, 0]  # signals, by the thread and by the handlers
        self._counting = threading.RLock()  # a handler may interrupt another
        self._timer: threading.Timer | None = None

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Hand the stop request to the nodes that train, as the dataset ``stop_request``."""
        catalog["stop_request"] = MemoryDataset(self.stop_request, copy_mode="assign")

    @hook_impl(trylast=True)
    def before_pipeline_run(self) -> None:
        """Begin to listen; the run is under way by now."""
        self.stop_request.clear()
        self._heard = [0, 0]
        if threading.current_thread() is threading.main_thread():  # no other may
            self._wire = _Wire(lambda number: self._hear(0, number))
            self._former = {number: signal.signal(number, lambda had, _: self._hear(1, had)) for number in SIGNALS}

    @hook_impl
    def before_node_run(self) -> None:
        """Start no further node once a stop is requested."""
        self.stop_request.check("between two nodes")

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Listen no longer."""
        self._end()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Listen no longer."""
        self._end()

    def _hear(self, ear: int, number: int) -> None:
        """Take up a signal when it is first heard of, by either ear."""
        with self._counting:
            before = max(self._heard)
            self._heard[ear] += 1
            now = max(self._heard)
        if now == 1 > before:
            self._ask(number)
        elif now > before:
            self._give_up()

    def _ask(self, number: int) -> None:
        self.stop_request.set(signal.Signals(number).name)
        logger.warning(
            "%s: ending after the step under way, within %.0f seconds", self.stop_request.reason, GRACE + LAST_WORD
        )
        self._timer = threading.Timer(GRACE, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    def _give_up(self) -> None:
        """End at once: what is running hears nothing, or somebody asks twice, and means it."""
        logger.warning("%s: what is running does not end by itself and is cut off", self.stop_request.reason)
        try:
            tracking.end_run_within(KILLED, LAST_WORD)
        finally:
            os._exit(exit_status(self.stop_request.reason))

    def _end(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}
        if self._wire is not None:
            self._wire.cut()
            self._wire = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.stop_request.clear()


class _Wire:
    """Brings the numbers of signals to a thread as they arrive, which the main thread need not have time for.

    Args:
        hear: Called with each, in that thread.
    """

    up = False  # whether there is one in this process

    def __init__(self, hear: Callable[[int], None]) -> None:
        self._ears, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._former = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, args=(hear,), daemon=True, name="signals")
        self._thread.start()
        _Wire.up = True

    def cut(self) -> None:
        """Bring no more; what has arrived is heard first."""
        _Wire.up = False
        signal.set_wakeup_fd(self._former)
        self._mouth.close()
        self._thread.join()
        self._ears.close()

    def _listen(self, hear: Callable[[int], None]) -> None:
        while number := self._ears.recv(1):
            if number[0] in SIGNALS:
                hear(number[0])


def _leave_to_parent() -> None:
    """In a forked child: what comes by the wire is the parent's, who decides; SIGTERM ends the child as ever."""
    if _Wire.up:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_parent)


def exit_status(reason: str) -> int:
    """Status of a process that ends on a signal, named ``SIGTERM``: 128 and its number, as shells have it."""
    return 128 + signal.Signals[reason]
