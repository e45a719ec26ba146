"""Runs coroutines to their end, without an event loop.

Inside one call nothing else runs, so a coroutine that suspends can be woken by nobody,
unless it only gave way (`asyncio.sleep(0)`): that is answered at once. What needs a loop
(tasks, timers, locks) is for `_loop`, used by modules that import `asyncio`.
"""

from collections.abc import Coroutine
from types import CoroutineType
from typing import Any

from subcast_guest._errors import ValueRefused
from subcast_guest._sources import relative


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine returns. Raises what it raises, and `ValueRefused` if it waits for ever."""
    send = coroutine.send
    try:
        while send(None) is None:
            pass
    except StopIteration as stop:
        return stop.value
    raise stuck(coroutine)


def stuck(coroutine: Coroutine[Any, Any, Any]) -> ValueRefused:
    """The refusal of a suspended coroutine, which is closed."""
    message = stuck_message(innermost(coroutine))
    try:
        coroutine.close()
    except BaseException:
        pass  # it refuses to end; what it holds is lost with it
    return ValueRefused(message)


def stuck_message(place: str) -> str:
    """What to tell of an `await` at `place` that would never end."""
    return (
        f"the await at {place} waits for something that nothing can wake, because a resolver runs alone: "
        "await only other coroutines, asyncio.sleep, and tasks that it starts itself"
    )


def innermost(coroutine: Any) -> str:
    """`file:line function` of the author's innermost coroutine that is suspended, by the line of its `await`."""
    place = "an unknown line"
    for _ in range(100):
        if not isinstance(coroutine, CoroutineType) or coroutine.cr_frame is None:
            break
        code = coroutine.cr_code
        if "/asyncio/" in code.co_filename:
            break
        place = f"{relative(code.co_filename)}:{coroutine.cr_frame.f_lineno} {code.co_qualname}"
        coroutine = coroutine.cr_await
    return place
