"""What the engine has to say reaches `logging`, and costs nothing where nobody wants to hear it."""

import asyncio
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bounds import PATIENCE, play, reap
from bounds import until as wait_until
from support import manager as silent_manager
from support import module, run, until
from test_serving import Minimal

from subcast import GraphQLTransportWSHandler, SubscriptionManager, _native

CHATTY = {"module": [{"name": "engine", "log_bytes": "16MiB", "cpu": "300ms"}]}


def manager(log: str = "info", **config: Any) -> SubscriptionManager:
    return silent_manager(config={"telemetry": {"log": log}} | config)


async def prints(subscriptions: SubscriptionManager) -> None:
    """Have a resolver write a million lines, far more than it may; it is stopped."""
    adapter = Minimal()
    handler = asyncio.create_task(GraphQLTransportWSHandler(subscriptions).handle(adapter))
    await adapter.waiting.put({"type": "connection_init"})
    query = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { prints { seq } }"}}
    await adapter.waiting.put(query)
    await until("subscribed", lambda: subscriptions.stats()["subscriptions"] == 1)
    await subscriptions.publish_event("prints", "hostile", {})
    assert b"connection_ack" in await adapter.next()
    said = await adapter.next()
    assert b"errors" in said or b"null" in said, said
    await adapter.waiting.put(None)
    await handler


def test_the_log_reaches_logging(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    caplog.set_level(logging.INFO, "subcast")
    began = time.time()

    async def scenario() -> None:
        # Nothing is cached there: it has to be compiled.
        async with manager(sandbox={"cache_dir": str(tmp_path)}) as subscriptions:
            compiling = next(record for record in caplog.records if "compiling the module" in record.message)
            assert (compiling.name, compiling.levelno) == ("subcast.sandbox.load", logging.INFO)
            digest = subscriptions.stats()["modules"][0]["digest"][:12]
            assert compiling.message.endswith(f"takes some seconds digest={digest}")
            fields: Any = compiling
            assert (fields.target, fields.fields) == ("subcast::sandbox::load", {"digest": digest})
            assert compiling.pathname.endswith("src/sandbox/load.rs") and compiling.lineno > 0
            assert began <= compiling.created <= time.time()
            await prints(subscriptions)
        # All has been handed on when the manager has stopped.
        assert _native.log_records() == ([], 0)
        stopped = next(record for record in caplog.records if "a call was stopped" in record.message)
        assert (stopped.name, stopped.levelno) == ("subcast.sandbox.slot", logging.WARNING)
        assert any(record.name == "subcast.guest" and record.message.startswith("xxx") for record in caplog.records)

    play(scenario())


def test_what_is_not_wanted_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        caplog.set_level(logging.CRITICAL, "subcast")
        made = []
        original = _native.log_records

        def log_records() -> Any:
            made.append(original())
            return made[-1]

        _native.log_records = log_records
        try:
            async with manager() as subscriptions:
                await prints(subscriptions)
                await asyncio.sleep(0.1)
                assert not any(rows for rows, _ in made), made
                assert not caplog.records
                # A changed level is noticed, within a second.
                caplog.set_level(logging.WARNING, "subcast")
                async with asyncio.timeout(PATIENCE):
                    while not any("call was stopped" in each.message for each in caplog.records):
                        await prints(subscriptions)
                assert all(level >= logging.WARNING for rows, _ in made for level, *_ in rows)
        finally:
            _native.log_records = original

    play(scenario())


@pytest.mark.parametrize("log", ["off", "info,subcast::sandbox=off,subcast::guest=off,subcast::delivery=off"])
def test_directives_of_the_configuration_hold_as_well(caplog: pytest.LogCaptureFixture, log: str) -> None:
    caplog.set_level(logging.DEBUG, "subcast")

    async def scenario() -> None:
        async with manager(log) as subscriptions:
            await prints(subscriptions)

    play(scenario())
    assert not [record for record in caplog.records if record.name.startswith("subcast")]


def test_a_busy_loop_loses_records_and_is_told_how_many(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "subcast")

    async def scenario() -> None:
        async with manager(**CHATTY) as subscriptions:
            printing = asyncio.create_task(prints(subscriptions))
            await until("published", lambda: subscriptions.stats()["published"] == 1)
            # The loop waits without a turn until the resolver has written all that it can.
            stopped = re.compile(r"^subcast_calls_stopped_total.* [1-9]", re.MULTILINE)
            wait_until("the call is stopped", lambda: stopped.search(subscriptions.metrics()) is not None)
            await printing

    play(scenario())
    lines = [record for record in caplog.records if record.name == "subcast.guest"]
    assert len(lines) >= 1024
    assert any("records of the log were left out" in record.message for record in caplog.records)


def test_without_logging_warnings_are_still_seen() -> None:
    done = run(
        """
from test_log import manager, prints
async def main():
    async with manager() as subscriptions:
        await prints(subscriptions)
asyncio.run(main())
"""
    )
    assert done.returncode == 0, done.stderr
    # By Python's last resort; `info` is not wanted there.
    assert "a call was stopped" in done.stderr and "xxx" not in done.stderr


def test_the_command_line_keeps_standard_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    command = [sys.executable, "-m", "subcast", "serve", str(module("engine")), "--listen", "127.0.0.1:0"]
    # Nothing is cached there: it has to be compiled, and says so.
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"SUBCAST_SANDBOX_CACHE_DIR": str(tmp_path), "NO_COLOR": "1"},
    )
    ending = threading.Timer(PATIENCE, process.kill)
    ending.start()
    try:
        assert process.stderr is not None
        assert any("compiling the module" in line for line in process.stderr)
    finally:
        ending.cancel()
        reap(process)
