"""Bounds for whatever the Python tests wait for, so that none of them can hang.

Two kinds: `watch` ends a test that takes too long, wherever it waits; the functions below it bound single waits, in
threads and in clean-up, too. All bounds are far above what a busy machine needs: a test that meets one has failed.
"""

import asyncio
import contextlib
import faulthandler
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import IO, Any

PATIENCE = 120.0
"""Seconds that a test waits for one thing. The first start of a module compiles it."""

WHOLE_TEST = 600.0
"""Seconds that a test may take, its fixtures included: some start a dozen servers or build components first."""

INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""The beginning of a program that is to be interrupted. Below a shell's background job SIGINT is ignored, and children
inherit that."""


@contextlib.contextmanager
def watch(name: str, seconds: float = WHOLE_TEST) -> Iterator[None]:
    """Fails what happens inside after so many seconds; if even that does not end it, the process ends with a trace.

    Only for the main thread: the failure is raised there by a signal, out of nearly every wait.
    """

    def overdue(number: int, frame: FrameType | None) -> None:
        # Here, because children of tests import this module, too.
        import pytest

        pytest.fail(f"{name} still waits after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, overdue)
    # Again and again: clean-up that waits must not hang either.
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds, 30)
    faulthandler.dump_traceback_later(seconds + 120, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        # One that was set around this one.
        signal.setitimer(signal.ITIMER_REAL, left, 30)


def play(scenario: Coroutine[Any, Any, None], run: Callable[[Any], Any] = asyncio.run) -> None:
    """Runs a scenario of a test on an event loop; `TimeoutError` in it, where it waits, if it takes too long."""

    async def bounded() -> None:
        # In the same task, unlike `wait_for`.
        async with asyncio.timeout(WHOLE_TEST / 2):
            await scenario

    run(bounded())


def until(what: str, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Waits until it holds; `TimeoutError` names `what` if it never does."""
    give_up = time.monotonic() + patience
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {patience:.0f} s in vain: {what}")
        time.sleep(0.01)


def line(stream: IO[str] | None, patience: float = PATIENCE) -> str:
    """The next line of a process, without its end; "" if there is none."""
    assert stream is not None
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(stream.readline()), daemon=True)
    reader.start()
    reader.join(patience)
    if not found:
        raise TimeoutError(f"waited {patience:.0f} s in vain for a line")
    return found[0].rstrip("\n")


def reap(process: subprocess.Popen[Any], patience: float = PATIENCE) -> None:
    """Kills a process and waits for its end, and for the end of its output."""
    process.kill()
    process.communicate(timeout=patience)
