"""The manager itself: its life, its errors, and the processes around it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from bounds import PATIENCE, play
from bounds import until as wait_until
from support import CACHE, manager, module, run, until

import subcast
from subcast import (
    BuildError,
    BusUnavailable,
    ConfigError,
    EventBusConfig,
    ModuleLoadError,
    PublishError,
    ServeError,
    SubcastError,
    SubscriptionManager,
)
from subcast._workers import count_workers

MEMORY = EventBusConfig.memory()


def threads() -> list[str]:
    """Names of this process' threads that are the engine's."""
    tasks = Path("/proc/self/task").iterdir()
    names = [(task / "comm").read_text().strip() for task in tasks]
    return [name for name in names if name.startswith(("subcast", "tokio"))]


def all_threads_end() -> None:
    wait_until("all threads of the engine end", lambda: threads() == [])


def test_what_is_given_wrongly_is_refused_at_once(tmp_path: Path) -> None:
    wasm = module("engine")
    for make, kind, sentence in [
        (lambda: SubscriptionManager("memory", module=wasm), TypeError, "bus must be an EventBusConfig"),  # type: ignore[arg-type]
        (lambda: SubscriptionManager(MEMORY), TypeError, "there is nothing to serve"),
        (lambda: SubscriptionManager(MEMORY, module=wasm, modules=[wasm]), TypeError, "not both"),
        (lambda: SubscriptionManager(MEMORY, modules=str(wasm)), TypeError, "for one, use module="),
        (lambda: SubscriptionManager(MEMORY, module=3), TypeError, "a module must be a path, not int"),  # type: ignore[arg-type]
        (lambda: SubscriptionManager(MEMORY, module=tmp_path / "x.wasm"), FileNotFoundError, "x.wasm does not exist"),
        (lambda: SubscriptionManager(MEMORY, module=wasm, config=3), TypeError, "a path or a mapping, not int"),  # type: ignore[arg-type]
        (lambda: SubscriptionManager(MEMORY, module=wasm, on_authenticate=3), TypeError, "must be callable, not int"),  # type: ignore[arg-type]
    ]:
        with pytest.raises(kind, match=sentence):
            make()


def test_what_cannot_start_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    text = tmp_path / "text.wasm"
    text.write_text("no component")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "resolvers.py").write_text("import nowhere_to_be_found\n")
    (broken / "schema.graphql").write_text("type Subscription { a: Int }\n")
    sandbox = {"sandbox": {"cache_dir": str(CACHE)}}

    async def scenario() -> None:
        for arguments, kind, sentence in [
            ({"module": text}, ModuleLoadError, "not a WebAssembly component"),
            ({"module": broken / "resolvers.py"}, BuildError, "No module named 'nowhere_to_be_found'"),
            ({"module": module("engine"), "config": {"limits": {"deepth": 3}}}, ConfigError, "did you mean `depth`"),
            ({"module": module("engine"), "config": {"limits": {"depth": "x"}}}, ConfigError, r"\[limits\] depth"),
            ({"config": tmp_path / "none.toml"}, ConfigError, "none.toml"),
            ({"modules": [module("engine"), module("swap")], "config": {"limits": 3}}, ConfigError, "expected a table"),
        ]:
            settings = arguments.get("config")
            if not isinstance(settings, Path):
                arguments["config"] = sandbox | (settings or {})
            subscriptions = SubscriptionManager(MEMORY, **arguments)  # type: ignore[arg-type]
            with pytest.raises(kind, match=sentence) as refused:
                await subscriptions.start()
            assert isinstance(refused.value, SubcastError)
            with pytest.raises(BusUnavailable, match="not started"):
                await subscriptions.publish_event("a", "b", {})

    play(scenario())
    all_threads_end()


def test_events_that_cannot_be_are_refused_with_their_place() -> None:
    async def scenario() -> None:
        async with manager() as subscriptions:
            deep: Any = []
            for _ in range(70):
                deep = [deep]
            for data, kind, sentence in [
                ({"user": {"born": time}}, TypeError, r'data\["user"\]\["born"\] is a module'),
                ({"list": [1, {2}]}, TypeError, r'data\["list"\]\[1\] is a set'),
                ({1: 2}, TypeError, "data has a key that is a int"),
                ({"x": float("nan")}, ValueError, r'data\["x"\] is NaN'),
                ({"x": "\ud800"}, ValueError, "surrogate"),
                (deep, PublishError, "64"),
                ("x" * (2 << 20), PublishError, "larger than 1048576 bytes"),
            ]:
                with pytest.raises(kind, match=sentence):
                    await subscriptions.publish_event("counted", "counts", data)
            with pytest.raises(PublishError, match="channel"):
                await subscriptions.publish_event("counted", "", {})
            with pytest.raises(TypeError):
                await subscriptions.publish_event(3, "counts", {})  # type: ignore[arg-type]
            good = {"channel": "counts", "type": "counted", "data": {"seq": 2**70}}
            with pytest.raises(PublishError, match="1"):
                await subscriptions.publish_events([good, {"channel": "counts"}])
            assert subscriptions.stats()["published"] == 0
            await subscriptions.publish_events([good, good | {"id": "a"}, good | {"id": "a"}])
            assert subscriptions.stats()["published"] == 2

    play(scenario())


def test_it_starts_once_and_can_be_started_again() -> None:
    async def scenario() -> None:
        subscriptions = manager()
        with pytest.raises(RuntimeError, match="not started: use `async with manager:`"):
            subscriptions.stats()
        await subscriptions.stop()
        for _ in range(2):
            await subscriptions.start()
            with pytest.raises(RuntimeError, match="was started already"):
                await subscriptions.start()
            await subscriptions.publish_event("counted", "counts", {"seq": 1})
            await subscriptions.stop()
            with pytest.raises(BusUnavailable, match="is stopped"):
                await subscriptions.publish_event("counted", "counts", {"seq": 1})
        # A cancelled start leaves nothing behind.
        starting = asyncio.create_task(subscriptions.start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        async with subscriptions:
            with pytest.raises(ServeError):
                await subscriptions.serve("192.0.2.1", 8000)
            with pytest.raises(ValueError, match="not an address"):
                await subscriptions.serve("127.0.0.1", 70_000)
            with pytest.raises(ModuleLoadError, match="nobody"):
                await subscriptions.rollback("nobody")

    play(scenario())
    all_threads_end()
    assert threading.active_count() == 1


def test_events_may_be_published_from_any_thread_and_loop() -> None:
    async def scenario() -> None:
        async with manager() as subscriptions:

            def elsewhere() -> None:
                subscriptions.publish("counted", "counts", {"seq": 1})
                asyncio.run(subscriptions.publish_event("counted", "counts", {"seq": 2}))
                with pytest.raises(RuntimeError, match="another event loop"):
                    asyncio.run(subscriptions.swap("x.wasm"))

            await asyncio.to_thread(elsewhere)
            assert subscriptions.stats()["published"] == 2

    play(scenario())


def test_who_publishes_in_a_loop_lets_subscribers_have_their_turn() -> None:
    async def scenario() -> None:
        async with manager(config={"delivery": {"outbox": {"messages": 10_000, "bytes": "16MiB"}}}) as subscriptions:
            from test_serving import Minimal

            from subcast import GraphQLTransportWSHandler

            adapter = Minimal()
            serving = asyncio.create_task(GraphQLTransportWSHandler(subscriptions).handle(adapter))
            await adapter.waiting.put({"type": "connection_init"})
            query = "subscription { counted { seq } }"
            await adapter.waiting.put({"id": "1", "type": "subscribe", "payload": {"query": query}})
            await until("subscribed", lambda: subscriptions.stats()["subscriptions"] == 1)
            await adapter.next()
            for seq in range(5_000):
                await subscriptions.publish_event("counted", "counts", {"seq": seq})
            frames = [json.loads(await adapter.next()) for _ in range(5_000)]
            seen = [frame["payload"]["data"]["counted"]["seq"] for frame in frames]
            assert seen == list(range(5_000))
            await adapter.waiting.put(None)
            await serving

    play(scenario())


def test_several_workers_are_warned_of_the_memory_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_workers(["/bin/uvicorn", "app:app", "--workers", "4"], {}) == 4
    assert count_workers(["gunicorn", "-w", "3", "app:app"], {"WEB_CONCURRENCY": "9"}) == 3
    assert count_workers(["hypercorn", "--workers=2"], {}) == 2
    assert count_workers(["app.py", "--workers", "4"], {}) == 1
    assert count_workers([], {"WEB_CONCURRENCY": "5"}) == 5
    monkeypatch.setenv("WEB_CONCURRENCY", "2")

    async def scenario() -> None:
        subscriptions = manager()
        with pytest.warns(subcast.SubcastWarning, match="2 workers"):
            await subscriptions.start()
        await subscriptions.stop()

    play(scenario())


def test_a_forked_process_is_told_to_start_its_own() -> None:
    done = run(
        """
import os
subscriptions = manager()
async def main():
    await subscriptions.start()
    child = os.fork()
    if child == 0:
        try:
            subscriptions.publish("counted", "counts", {"seq": 1})
        except Exception as error:
            print(type(error).__name__, error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    await subscriptions.stop()
asyncio.run(main())
""",
    )
    assert done.returncode == 0, done.stderr
    assert "BusUnavailable this process was forked" in done.stdout


def test_importing_is_quick_and_brings_no_framework() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import subcast, sys; print(sorted(sys.modules))"],
        text=True,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    for framework in ["fastapi", "starlette", "websockets", "uvicorn"]:
        assert f"'{framework}'" not in done.stdout


def test_the_command_line_is_the_binarys() -> None:
    script = Path(sys.executable).parent / "subcast"
    done = subprocess.run([script, "--version"], text=True, capture_output=True, check=True, timeout=PATIENCE)
    assert done.stdout.strip() == f"subcast {subcast.__version__}"
    assert subprocess.run([script, "serve"], capture_output=True, cwd=os.path.sep, timeout=PATIENCE).returncode == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        command = [sys.executable, "-m", "subcast", "inspect", module("engine")]
        assert subprocess.run(command, capture_output=True, timeout=PATIENCE)
