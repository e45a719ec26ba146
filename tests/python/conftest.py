"""Fixtures: the decorator's register emptied for each test, the real bindings, and a way to call a resolver."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from subcast_guest import _schema, _subscription
from subcast_guest._runner import Runner

ROOT = Path(__file__).resolve().parents[2]

Resolve = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def declarations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the test declares, and nothing else."""
    monkeypatch.setattr(_subscription, "definitions", [])
    monkeypatch.setattr(_schema, "declared", [])
    return _subscription.definitions


@pytest.fixture(scope="session")
def bindings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The bindings of `wit/`, as the component has them, on Python's path."""
    folder = tmp_path_factory.mktemp("bindings")
    tool = Path(sys.executable).parent / "componentize-py"
    subprocess.run([tool, "-d", ROOT / "wit", "-w", "resolver", "bindings", folder], check=True)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def wire(bindings: None) -> Any:
    """The bindings of `interface types`."""
    return importlib.import_module("wit_world.imports.types")


@pytest.fixture
def job(wire: Any) -> Callable[..., Any]:
    """Makes a job: `job("field", data, arguments…, principal=…)`."""

    def make(field: str, data: Any = None, *arguments: Any, principal: Any = None, **envelope: str) -> Any:
        event = {"id": "1", "channel": "c", "type": field, "time": "2026-01-01T00:00:00Z", "source": "s"} | envelope
        text = data if isinstance(data, str) else json.dumps(data)
        ways = [wire.Invocation(json.dumps(each), principal) for each in arguments or ({},)]
        return wire.Job(field, wire.Event(**event, data=text), ways)

    return make


@pytest.fixture
def resolve(wire: Any, job: Callable[..., Any], declarations: list[Any]) -> Resolve:
    """Calls one resolver; an outcome for each of the given arguments."""

    def call(field: str, data: Any = None, *arguments: Any, **options: Any) -> list[Any]:
        (outcomes,) = Runner(declarations, wire).resolve([job(field, data, *arguments, **options)])
        return outcomes

    return call


@pytest.fixture
def value(resolve: Resolve, wire: Any) -> Callable[..., Any]:
    """Calls one resolver that succeeds; its value, parsed."""

    def call(field: str, *rest: Any, **options: Any) -> Any:
        (outcome,) = resolve(field, *rest, **options)
        assert type(outcome) is wire.Outcome_Value, outcome
        return json.loads(outcome.value)

    return call


@pytest.fixture
def failure(resolve: Resolve, wire: Any) -> Callable[..., Any]:
    """Calls one resolver that fails; the failure."""

    def call(field: str, *rest: Any, **options: Any) -> Any:
        (outcome,) = resolve(field, *rest, **options)
        assert type(outcome) is wire.Outcome_Failed, outcome
        carried = [outcome.value.message, outcome.value.code, outcome.value.extensions, outcome.value.traceback]
        for text in carried:
            assert text is None or (type(text) is str and text.encode() is not None)
        return outcome.value

    return call


@pytest.fixture
def principal() -> Any:
    """Someone with claims."""
    return SimpleNamespace(subject="ada", claims='{"role": "vip", "roles": ["a"]}')
