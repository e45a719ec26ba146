"""`async def` resolvers: driven to their end without an event loop, or with the small one for `asyncio`."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest

from subcast_guest import GraphQLError, subscription
from subcast_guest._drive import drive
from subcast_guest._errors import ValueRefused
from subcast_guest._loop import Loop

Drive = Callable[[Any], Any]


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    loop.begin(5)
    yield loop
    loop.close()


@pytest.fixture(params=["plain", "loop"])
def either(request: pytest.FixtureRequest, loop: Loop) -> Drive:
    """Both ways to drive a coroutine."""
    return drive if request.param == "plain" else loop.drive


class Never:
    """Awaits what nobody completes."""

    def __await__(self) -> Generator[Any, Any, Any]:
        yield self


async def answer() -> int:
    return 42


def test_coroutines_await_each_other(either: Drive) -> None:
    async def outer(depth: int) -> int:
        return await answer() if depth == 0 else 1 + await outer(depth - 1)

    assert either(outer(50)) == 92


def test_giving_way_is_answered_at_once(either: Drive) -> None:
    async def polite() -> str:
        for _ in range(100):
            await asyncio.sleep(0)
        return "done"

    assert either(polite()) == "done"


def test_async_iterators_and_context_managers_work(either: Drive) -> None:
    ended = []

    async def numbers() -> AsyncIterator[int]:
        for number in range(5):
            await asyncio.sleep(0)
            yield number

    @contextlib.asynccontextmanager
    async def managed() -> AsyncIterator[str]:
        yield "inside"
        ended.append(await answer())

    async def resolver() -> Any:
        async with managed() as text:
            return text, [number async for number in numbers() if number % 2]

    assert either(resolver()) == ("inside", [1, 3])
    assert ended == [42]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(2), KeyboardInterrupt(), GraphQLError("m")])
def test_exceptions_come_through(error: BaseException, either: Drive) -> None:
    async def resolver() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(type(error)) as caught:
        either(resolver())
    assert caught.value is error


def test_a_plain_wait_without_end_is_refused_with_its_place() -> None:
    async def inner() -> None:
        await Never()

    async def outer() -> None:
        await inner()

    with pytest.raises(ValueRefused, match=r"test_awaiting\.py:\d+ .*inner waits for something that nothing can wake"):
        drive(outer())


def test_a_refused_coroutine_is_closed() -> None:
    ended = []

    async def resolver() -> None:
        try:
            await Never()
        finally:
            ended.append(True)

    with pytest.raises(ValueRefused):
        drive(resolver())
    assert ended == [True]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_coroutine_that_refuses_to_close_is_no_trap() -> None:
    async def stubborn() -> None:
        while True:
            with contextlib.suppress(BaseException):
                await Never()

    coroutine = stubborn()
    with pytest.raises(ValueRefused):
        drive(coroutine)


@pytest.mark.parametrize(
    "waiting", [lambda: asyncio.Event().wait(), lambda: asyncio.Queue[int]().get(), forever := asyncio.Future]
)
def test_a_wait_that_nothing_can_end_is_refused(waiting: Any, loop: Loop) -> None:
    async def resolver() -> None:
        await (waiting() if waiting is not forever else asyncio.get_running_loop().create_future())

    with pytest.raises(ValueRefused, match=r"await at test_awaiting\.py:\d+ .*resolver waits for something"):
        loop.drive(resolver())


def test_tasks_timers_and_timeouts_work(loop: Loop) -> None:
    sleeping = most = 0

    async def slow(number: int) -> int:
        nonlocal sleeping, most
        sleeping += 1
        most = max(most, sleeping)
        await asyncio.sleep(0.02)
        sleeping -= 1
        return number

    async def resolver() -> Any:
        async with asyncio.timeout(4):
            together = await asyncio.gather(*map(slow, range(5)))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(slow(7))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        return together, task.result()

    assert loop.drive(resolver()) == ([0, 1, 2, 3, 4], 7)
    assert most == 5, "they do not sleep at the same time"


def test_a_sleep_beyond_the_deadline_is_refused_at_once(loop: Loop) -> None:
    loop.begin(30)

    async def resolver() -> None:
        await asyncio.sleep(60)

    began = time.monotonic()
    with pytest.raises(ValueRefused, match=r"resolver would sleep for 60 s, beyond the time"):
        loop.drive(resolver())
    assert time.monotonic() - began < 25


def test_no_task_outlives_its_invocation(loop: Loop) -> None:
    ended = []

    async def background() -> None:
        try:
            await asyncio.sleep(3)
        finally:
            ended.append(True)

    async def resolver() -> int:
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        assert not task.done()
        return await answer()

    assert loop.drive(resolver()) == 42
    assert ended == [True]
    assert not asyncio.all_tasks(loop)
    assert loop.drive(answer()) == 42


def test_a_task_that_refuses_to_end_is_left_behind(loop: Loop) -> None:
    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    async def resolver() -> int:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        asyncio.create_task(stubborn())  # noqa: RUF006
        await asyncio.sleep(0)
        return 1

    assert loop.drive(resolver()) == 1
    assert loop.drive(answer()) == 42


def test_the_loop_is_gone_between_two_calls(loop: Loop) -> None:
    loop.drive(answer())
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert loop.is_running() is False


def test_a_function_that_returns_a_coroutine_is_awaited(value: Callable[..., Any]) -> None:
    @subscription("field", channel="c")
    def field(event: Any, variables: Any) -> Any:
        return answer()

    assert value("field") == 42


def test_a_stuck_resolver_fails_with_file_function_and_remedy(
    run: Callable[..., Any], job: Callable[..., Any], loop: Loop
) -> None:
    @subscription("field", channel="c")
    async def waits_for_ever(event: Any, variables: Any) -> Any:
        await asyncio.Event().wait()

    (outcome,) = run("field", job(), loop=loop)
    message = outcome["failed"]["message"]
    assert message.startswith("test_awaiting.py:")
    assert "waits_for_ever" in message
    assert "await only other coroutines" in message
