"""However it ends: soon, and without a word that is not about the reason."""

import asyncio
import contextlib
import functools
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bounds import PATIENCE, line, play, reap
from support import Client, manager, program, run, until
from test_manager import all_threads_end
from test_serving import COUNTED, Minimal

from subcast import GraphQLTransportWSHandler

DEV = ("-X", "dev")
SLOW = re.compile(r"^Executing <.*> took [0-9.]+ seconds\n?", re.MULTILINE)
"""What asyncio says in its debug mode on a busy machine."""
UNWANTED = re.compile(r"was destroyed|never awaited|never retrieved|Exception ignored|Warning|panicked|Exception in")
SOON = 8.0
"""Seconds in which a process has to end, once it begins to. Whoever waits for a client or a sleep takes ten minutes."""
ENDING = "print(__import__('time').monotonic(), flush=True)"
"""The last line of a program's output: when it began to end, on a clock that all processes share."""


def is_quiet(said: str, reason: str) -> None:
    """Nothing but the reason was said, if there is one."""
    said = SLOW.sub("", said)
    assert UNWANTED.search(said) is None, said
    last = said.strip().rsplit("\n", 1)[-1]
    assert re.match(reason, last) if reason else not said, said


@contextlib.contextmanager
def running(script: str) -> Iterator[subprocess.Popen[str]]:
    """A process that lives as long as the block, at most."""
    process = subprocess.Popen(program(script, *DEV), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        reap(process)


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its status and what it said, after an interrupt."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < SOON
    return process.returncode, said


def ended_soon(done: subprocess.CompletedProcess[str]) -> None:
    """Checked right after it has ended."""
    assert time.monotonic() - float(done.stdout.strip().rsplit("\n", 1)[-1]) < SOON


SERVING = """
async def main():
    async with manager() as subscriptions:
        address = await subscriptions.serve("127.0.0.1", 0)
        print(address.port, flush=True)
        {body}
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.sleep(600)",
        "while True: await subscriptions.publish_event('counted', 'counts', {'seq': 1}); await asyncio.sleep(0)",
        "while True: await asyncio.to_thread(subscriptions.publish, 'counted', 'counts', {'seq': 1})",
    ],
)
def test_an_interrupt_ends_a_script(body: str) -> None:
    async def scenario() -> None:
        with running(SERVING.format(body=body)) as process:
            client = await Client.connect(f"ws://127.0.0.1:{line(process.stdout)}/graphql")
            await client.send({"id": "1", "type": "subscribe", "payload": {"query": COUNTED}})
            ending = asyncio.create_task(asyncio.to_thread(interrupted, process))
            assert await client.closed() == (1012, "Service restart")
            status, said = await ending
            assert status == -signal.SIGINT
            is_quiet(said, "KeyboardInterrupt")

    play(scenario())


def test_an_interrupt_while_it_starts(tmp_path: Path) -> None:
    # Nothing is cached there: it has to be compiled.
    cache = {"sandbox": {"cache_dir": str(tmp_path)}}
    tmp_path.chmod(0o700)
    script = f"""
async def main():
    subscriptions = manager(config={cache!r})
    starting = asyncio.create_task(subscriptions.start())
    await asyncio.sleep(0.1)
    assert not starting.done()
    print("starting", flush=True)
    await starting
    print("started", flush=True)
asyncio.run(main())
"""
    with running(script) as process:
        assert line(process.stdout) == "starting"
        status, said = interrupted(process)
        assert status == -signal.SIGINT
        is_quiet(said, "KeyboardInterrupt")


def test_a_second_interrupt_does_not_wait_for_clients() -> None:
    async def scenario() -> None:
        # An adapter whose close takes for ever, and a manager that would wait for it.
        body = """
        import subcast._manager
        subcast._manager._GRACE = 600
        from test_serving import Minimal
        from subcast import GraphQLTransportWSHandler
        class Stuck(Minimal):
            async def close(self, code=1000, reason=""):
                await asyncio.sleep(600)
        stuck = Stuck()
        serving = asyncio.create_task(GraphQLTransportWSHandler(subscriptions).handle(stuck))
        await until("it is connected", lambda: stuck.is_connected)
        print("connected", flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            # The first one has come this far; the second one finds the manager waiting.
            print("interrupted", flush=True)
"""
        with running(SERVING.format(body=body.strip())) as process:
            assert line(process.stdout).isdecimal() and line(process.stdout) == "connected"
            process.send_signal(signal.SIGINT)
            assert line(process.stdout) == "interrupted"
            status, said = await asyncio.to_thread(interrupted, process)
            assert status == -signal.SIGINT
            is_quiet(said, "KeyboardInterrupt")

    play(scenario())


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        ("return", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("raise ValueError('on purpose')", 1, "ValueError: on purpose"),
        ("signal.raise_signal(signal.SIGINT); await asyncio.sleep(600)", -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_process_ends_although_its_manager_was_not_stopped(end: str, status: int, reason: str) -> None:
    done = run(
        f"""
import signal, sys
async def main():
    global subscriptions
    subscriptions = manager()
    await subscriptions.start()
    await subscriptions.serve("127.0.0.1", 0)
    for seq in range(1000):
        subscriptions.publish("counted", "counts", {{"seq": seq}})
    {ENDING}
    {end}
asyncio.run(main())
""",
        *DEV,
    )
    ended_soon(done)
    assert done.returncode == status, done.stderr
    is_quiet(done.stderr, reason)


@pytest.mark.parametrize("watches", [True, False])
def test_a_loop_may_be_closed_without_a_stop(watches: bool) -> None:
    done = run(
        f"""
import threading
loop = asyncio.new_event_loop()
if not {watches}:
    def refuse(*arguments):
        raise NotImplementedError
    loop.add_reader = refuse
subscriptions = manager()
loop.run_until_complete(subscriptions.start())
loop.close()
# Publishing works from anywhere, as before.
subscriptions.publish("counted", "counts", {{"seq": 1}})
asyncio.run(subscriptions.publish_event("counted", "counts", {{"seq": 2}}))
assert subscriptions.stats()["published"] == 2
# Another loop may stop what the first one has left.
asyncio.run(subscriptions.stop())
assert not subscriptions.is_running
asyncio.run(subscriptions.start())
asyncio.run(subscriptions.stop())
assert threading.active_count() == 1, threading.enumerate()
from test_manager import all_threads_end
all_threads_end()
""",
        *DEV,
    )
    assert done.returncode == 0, done.stderr
    is_quiet(done.stderr, "")


def test_another_loop_may_not_stop_it_while_its_own_lives() -> None:
    async def scenario() -> None:
        async with manager() as subscriptions:
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, subscriptions.stop())
            assert subscriptions.is_running

    play(scenario())


def test_who_keeps_an_exception_keeps_no_threads() -> None:
    kept: list[Exception] = []

    async def scenario() -> None:
        async with manager() as subscriptions:
            for attempt in (
                lambda: subscriptions.publish_event("counted", "counts", object()),
                lambda: subscriptions.publish_events([{"channel": "counts"}]),
                lambda: subscriptions.swap("nowhere.wasm"),
                lambda: subscriptions.rollback("nobody"),
                lambda: subscriptions.serve("192.0.2.1", 8000),
                lambda: asyncio.to_thread(subscriptions.publish, "counted", "counts", object()),
                lambda: asyncio.to_thread(asyncio.run, subscriptions.stop()),
            ):
                try:
                    await attempt()
                except Exception as error:
                    kept.append(error)

    play(scenario())
    all_threads_end()
    assert len(kept) == 7


def test_a_handler_may_be_cancelled_at_any_time() -> None:
    async def scenario() -> None:
        async with manager() as subscriptions:
            for turns in range(12):
                adapter = Minimal()
                handler = asyncio.create_task(GraphQLTransportWSHandler(subscriptions).handle(adapter))
                await adapter.waiting.put({"type": "connection_init"})
                await adapter.waiting.put({"id": "1", "type": "subscribe", "payload": {"query": COUNTED}})
                if turns == 11:
                    await until("subscribed", lambda: subscriptions.stats()["subscriptions"] == 1)
                for _ in range(turns):
                    await asyncio.sleep(0)
                handler.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.wait_for(handler, PATIENCE)
                stats = subscriptions.stats()
                assert (stats["connections"], stats["subscriptions"]) == (0, 0)
                assert not subscriptions._drivers
            assert asyncio.all_tasks() == {asyncio.current_task()}

    play(scenario(), functools.partial(asyncio.run, debug=True))
    all_threads_end()


LIFESPAN = """
import contextlib, uvicorn
from fastapi import FastAPI
from subcast.integrations.fastapi import SubscriptionRouterFactory
from subcast.integrations.starlette import create_subscription_app
subscriptions = manager()
@contextlib.asynccontextmanager
async def lifespan(app):
    if {when!r} == "startup": raise LookupError("on purpose")
    yield
    raise LookupError("on purpose")
app = FastAPI(lifespan=lifespan)
if {wrapped}:
    app = create_subscription_app(app, subscriptions)
else:
    app.include_router(SubscriptionRouterFactory.create(subscriptions))
server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
async def main():
    # It looks at this once it has started.
    server.should_exit = True
    {ending}
    await server.serve()
    assert not subscriptions.is_running
asyncio.run(main())
from test_manager import all_threads_end
all_threads_end()
"""


@pytest.mark.parametrize("when", ["startup", "shutdown"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_an_exception_in_the_lifespan(when: str, wrapped: bool) -> None:
    done = run(LIFESPAN.format(when=when, wrapped=wrapped, ending=ENDING), *DEV)
    ended_soon(done)
    assert done.returncode == (3 if when == "startup" else 0), done.stderr
    assert UNWANTED.search(done.stderr) is None, done.stderr
    assert "LookupError: on purpose" in done.stderr


def test_threads_of_the_application_may_still_publish_while_the_interpreter_ends() -> None:
    script: Any = """
import threading
subscriptions = manager()
asyncio.run(subscriptions.start())
def publish():
    while True:
        subscriptions.publish("counted", "counts", {"seq": 1})
for _ in range(4):
    threading.Thread(target=publish, daemon=True).start()
"""
    done = run(script, *DEV)
    assert done.returncode == 0, done.stderr
    is_quiet(done.stderr, "")
