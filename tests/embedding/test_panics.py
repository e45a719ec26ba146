"""A panic of the engine is a bug of ours, and an application can catch it."""

import re
from typing import Any

import pytest
from bounds import play
from support import ROOT, Client, manager, run, served
from test_serving import fastapi

import subcast

ENTRIES = [ROOT / f"src/python/{name}.rs" for name in ("connection", "engine", "hub", "mod", "pending", "question")]


def test_a_panic_is_an_exception_of_the_package() -> None:
    # A real one: tokio panics where the system has no more threads, here for want of address space for their stacks.
    done = run(
        """
import re, resource
from subcast import InternalError, SubcastError, _native
hub = _native.Hub()
taken = int(re.search(r"VmSize:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 20), resource.RLIM_INFINITY))
try:
    _native.start(hub)
except Exception as error:
    caught = error
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert type(caught) is InternalError and issubclass(InternalError, SubcastError), repr(caught)
print(caught)
"""
    )
    assert done.returncode == 0, done.stderr
    assert "a bug of Subcast, please report it: OS can't spawn worker thread" in done.stdout


def test_every_entry_is_guarded() -> None:
    """Reads the sources: each function that Python calls must have `guard` for its whole body."""
    names = []
    for path in ENTRIES:
        lines = iter(path.read_text().splitlines())
        indent = None
        for line in lines:
            if line in ("#[pymethods]", "#[pyfunction]"):
                indent = "    " if line == "#[pymethods]" else ""
            elif line == "}":
                indent = None
            found = re.match(rf"{indent}(?:pub\(super\) )?fn (\w+)", line) if indent is not None else None
            if found is None:
                continue
            while not line.endswith("{"):
                line = next(lines)
            first = next(lines).strip()
            assert first.startswith("guard("), f"{path.name}: {found[1]}() begins with {first}"
            if first.endswith("{"):
                while (line := next(lines)) != f"{indent}    }})" and line != f"{indent}    }})?":
                    assert line.startswith(f"{indent}        ") or not line, f"{path.name}: {found[1]}(): {line}"
            assert next(lines) == f"{indent}}}", f"{path.name}: {found[1]}() goes on after the guard"
            names.append(found[1])
            indent = indent or None
    # So that it cannot pass by finding nothing.
    assert len(names) >= 30 and {"main", "start", "poll", "publish", "result", "accept", "wait"} <= set(names), names


def test_a_connection_that_meets_a_bug_is_closed_and_the_others_live_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        """A connection of the engine, but for one method."""

        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def handle_binary(self) -> None:
            raise subcast.InternalError("a bug of Subcast")

    class Engine:
        def __init__(self, engine: Any) -> None:
            self._engine = engine

        def __getattr__(self, name: str) -> Any:
            return getattr(self._engine, name)

        def connect(self, headers: Any) -> Any:
            return Broken(self._engine.connect(headers))

    async def scenario() -> None:
        subscriptions = manager()
        async with served(fastapi(subscriptions)) as url:
            subscriptions._engine = Engine(subscriptions._engine)  # type: ignore[assignment]
            neighbour, client = await Client.connect(url), await Client.connect(url)
            await client.socket.send(b"binary")
            assert await client.closed() == (1011, "Internal server error")
            await neighbour.subscribe("1", "subscription { counted { seq } }")
            await subscriptions.publish_event("counted", "counts", {"seq": 1})
            assert await neighbour.next() == {"data": {"counted": {"seq": 1}}}
            await neighbour.close()

    play(scenario())
    assert [record.message for record in caplog.records] == ["a connection ended by a bug"]
