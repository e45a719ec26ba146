"""The event loop's side of the engine: one wake-up for whatever has come together."""

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol

from subcast import _log, _native

_PER_TURN = 256
"""What is handed out before the loop's other callbacks get their turn."""

QUESTIONS = 0
"""The key of questions; see `src/python/question.rs`."""

LOG = 1
"""The key of the log; see `src/python/log.rs`."""

FAILED = 2
"""The key of an engine that cannot go on; see `src/python/hub.rs`."""

_LOOK_AGAIN = 1.0
"""Seconds after which a changed level of the logger is noticed."""


class Listener(Protocol):
    """Somebody whose key rang."""

    def ring(self) -> None:
        """There is something. Must not block."""


class Hub:
    """Knows who waits for what. Belongs to one event loop; only `wait_for` may be cancelled."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_question: Callable[[], None], on_failed: Callable[[], None]
    ) -> None:
        self.native = _native.Hub()
        self.loop = loop
        self._on_question = on_question
        self._on_failed = on_failed
        self._listeners: dict[int, Listener] = {}
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._pump: threading.Thread | None = None
        self._follow_level()
        try:
            loop.add_reader(self.native.fileno(), self._drain)
        except NotImplementedError:
            # Loops that cannot watch a pipe get a thread that does.
            self._drained = threading.Event()
            self._pump = threading.Thread(target=self._run_pump, name="subcast-hub", daemon=True)
            self._pump.start()

    def listen(self, key: int, listener: Listener) -> None:
        """From now on `listener` is told about `key`."""
        self._listeners[key] = listener

    def forget(self, key: int) -> None:
        """Nobody listens to `key` any more."""
        self._listeners.pop(key, None)

    async def wait_for(self, pending: _native.Pending) -> object:
        """What comes of the work. Cancelling cancels the work, too."""
        if not pending.is_done():
            future = self.loop.create_future()
            self._futures[pending.key] = future
            try:
                await future
            except asyncio.CancelledError:
                pending.cancel()
                raise
            finally:
                self._futures.pop(pending.key, None)
        return pending.result()

    def close(self) -> None:
        """Nothing is handed out any more, after what was logged."""
        self._timer.cancel()
        _log.deliver()
        if self._pump is None:
            if not self.loop.is_closed():
                self.loop.remove_reader(self.native.fileno())
            self.native.close()
        else:
            self.native.close()
            self._drained.set()
            self._pump.join()

    def _follow_level(self) -> None:
        _log.follow_level()
        self._timer = self.loop.call_later(_LOOK_AGAIN, self._follow_level)

    def _drain(self) -> None:
        for key in self.native.drain(_PER_TURN):
            listener = self._listeners.get(key)
            if listener is not None:
                listener.ring()
            elif key == QUESTIONS:
                self._on_question()
            elif key == LOG:
                _log.deliver()
            elif key == FAILED:
                self._on_failed()
            elif (future := self._futures.get(key)) is not None and not future.done():
                future.set_result(None)

    def _run_pump(self) -> None:
        while self.native.wait():
            self._drained.clear()
            try:
                self.loop.call_soon_threadsafe(self._drain_for_pump)
            except RuntimeError:
                return  # the loop is closed
            self._drained.wait()

    def _drain_for_pump(self) -> None:
        try:
            self._drain()
        finally:
            self._drained.set()
