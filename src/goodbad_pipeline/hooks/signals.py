"""Handling of SIGINT and SIGTERM: a run saves a checkpoint, stops within seconds and is marked as killed in MLflow."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog

from goodbad_pipeline import tracking
from goodbad_pipeline.training.stopping import StopRequest

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 8.0  # grace period for the current step; checkpoints on disk are always complete
END_RUN_SECONDS = 2.0  # time after the grace period to end the run in MLflow


class StopHooks:
    """Turns SIGINT and SIGTERM into a stop request while a pipeline runs.

    Training checks for a stop request after every step, and `before_node_run` checks before every node. If the run has
    not stopped within the grace period, the process exits.

    Python calls signal handlers only in the main thread, and not while the main thread compiles a graph. Therefore a
    thread reads the signals from a file descriptor (`signal.set_wakeup_fd`). Signal handlers are installed as well,
    because an event loop may replace the file descriptor.
    """

    def __init__(self) -> None:
        self.stop_request = StopRequest()
        self._former_handlers: dict[int, Any] = {}
        self._listener: _SignalListener | None = None
        self._received = {"listener": 0, "handler": 0}  # number of signals that each of the two sources has reported
        self._counting = threading.RLock()  # a handler may interrupt another handler
        self._timer: threading.Timer | None = None

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Store the stop request as the dataset ``stop_request``, for the nodes that train."""
        catalog.save("stop_request", self.stop_request)

    @hook_impl(trylast=True)
    def before_pipeline_run(self) -> None:
        """Start to listen for signals."""
        self.stop_request.clear()
        self._received = dict.fromkeys(self._received, 0)
        if threading.current_thread() is threading.main_thread():  # Python allows handlers in no other thread
            self._listener = _SignalListener(lambda number: self._receive("listener", number))
            self._former_handlers = {
                number: signal.signal(number, lambda received, _: self._receive("handler", received))
                for number in SIGNALS
            }

    @hook_impl
    def before_node_run(self) -> None:
        """Raise an error instead of starting the node if a stop was requested."""
        self.stop_request.check("between two nodes")

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Stop listening for signals."""
        for number, handler in self._former_handlers.items():
            signal.signal(number, handler)
        self._former_handlers = {}
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.stop_request.clear()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Stop listening for signals after the other hooks have ended the run."""
        self.after_pipeline_run()

    def _receive(self, source: str, number: int) -> None:
        """Request a stop at the first signal, exit at the second. A signal reported by both sources counts once."""
        with self._counting:
            before = max(self._received.values())
            self._received[source] += 1
            count = max(self._received.values())
        if count == 1 > before:
            self._request_stop(number)
        elif count > before:
            self._exit()

    def _request_stop(self, number: int) -> None:
        self.stop_request.set(signal.Signals(number).name)
        seconds = GRACE_SECONDS + END_RUN_SECONDS
        logger.warning("%s: stopping after the current step, within %.0f seconds", self.stop_request.reason, seconds)
        self._timer = threading.Timer(GRACE_SECONDS, self._exit)
        self._timer.daemon = True
        self._timer.start()

    def _exit(self) -> None:
        """Exit without waiting for the current step."""
        logger.warning("%s: the current step did not end in time; exiting now", self.stop_request.reason)
        try:
            tracking.end_run_within(tracking.KILLED, END_RUN_SECONDS)
        finally:
            os._exit(exit_status(self.stop_request.reason))


def exit_status(reason: str) -> int:
    """Return the exit status after a signal such as ``SIGTERM``: 128 plus its number, as in shells."""
    return 128 + signal.Signals[reason]


class _SignalListener:
    """A thread that calls ``receive`` with the number of each signal, even while the main thread is busy."""

    is_active = False  # in this process

    def __init__(self, receive: Callable[[int], None]) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._former = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, args=(receive,), daemon=True, name="signals")
        self._thread.start()
        _SignalListener.is_active = True

    def close(self) -> None:
        """Call ``receive`` for the signals that have arrived, then stop listening."""
        _SignalListener.is_active = False
        signal.set_wakeup_fd(self._former)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def _listen(self, receive: Callable[[int], None]) -> None:
        while number := self._reader.recv(1):
            if number[0] in SIGNALS:
                receive(number[0])


def _reset_in_child() -> None:
    """Reset the signals of a forked child: SIGTERM ends the child, and only the parent handles SIGINT."""
    if _SignalListener.is_active:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_in_child)
