"""An event loop for modules that import `asyncio`: tasks, timers, locks and queues, without any I/O.

It runs one resolver to its end, inside one call. Nothing outside can wake it: when no
task is ready and no timer is set, it says so instead of waiting for ever. A coroutine
that never suspends costs one task and no turn of the loop.
"""

import asyncio
import sys
import time
from collections.abc import Coroutine
from typing import Any

from subcast_guest._drive import innermost, stuck_message
from subcast_guest._errors import ValueRefused

_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
_set_running_loop: Any = asyncio._set_running_loop
_TURNS_TO_END = 100
"""Turns in which cancelled tasks may clean up; they must not wait again."""


class _Stuck(BaseException):
    """Nothing is ready. `seconds` until the next timer, if there is one."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds


class _Sleeper:
    """Stands where other loops ask the system for I/O."""

    def __init__(self) -> None:
        self.deadline = 0.0
        self.may_sleep = True

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise _Stuck(None)
        if timeout > 0:
            if not self.may_sleep:
                raise _Stuck(None)
            if time.monotonic() + timeout > self.deadline:
                raise _Stuck(timeout)
            time.sleep(timeout)
        return []


class Loop(asyncio.BaseEventLoop):
    """Runs coroutines one after the other; see the module's text."""

    def __init__(self) -> None:
        self._inside = False
        super().__init__()
        self._selector = _Sleeper()

    def begin(self, seconds: float) -> None:
        """A call starts that must be over in `seconds`; no timer waits beyond."""
        self._selector.deadline = time.monotonic() + seconds

    def drive(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What the coroutine returns. Raises what it raises, and `ValueRefused` if it waits for ever."""
        task: asyncio.Task[Any] | None = None
        _set_running_loop(self)
        self._inside = True
        self._selector.may_sleep = True
        try:
            task = asyncio.Task(coroutine, loop=self, **_EAGER)
            while not task.done():
                self._run_once()
            return task.result()
        except _Stuck as stuck:
            raise ValueRefused(_refusal(coroutine, stuck)) from None
        finally:
            try:
                if self._ready or self._scheduled or task is None or not task.done():
                    self._end()
            finally:
                self._inside = False
                _set_running_loop(None)
                if task is not None and task.done() and not task.cancelled():
                    task.exception()  # it is told already: the task need not log it

    def _end(self) -> None:
        """Cancel what the coroutine left running: no task outlives its invocation."""
        self._selector.may_sleep = False
        for task in asyncio.all_tasks(self):
            task.cancel()
        try:
            for _ in range(_TURNS_TO_END):
                self._run_once()
        except _Stuck:
            pass
        finally:
            self._ready.clear()
            self._scheduled.clear()

    def is_running(self) -> bool:
        return self._inside

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else could wake the loop."""

    # Attributes of `BaseEventLoop` that the type checker's stubs leave out.
    _ready: Any
    _scheduled: Any
    _run_once: Any


def _refusal(coroutine: Any, stuck: _Stuck) -> str:
    where = innermost(coroutine)
    if stuck.seconds is None:
        return stuck_message(where)
    return f"{where} would sleep for {stuck.seconds:.3g} s, beyond the time that the call has left: wait less"
