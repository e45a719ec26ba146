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
from bounds import PATIENCE

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
    subprocess.run([tool, "-d", ROOT / "wit", "-w", "resolver", "bindings", folder], check=True, timeout=PATIENCE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def wire(bindings: None) -> Any:
    """The bindings of `interface types`."""
    return importlib.import_module("wit_world.imports.types")


@pytest.fixture
def job() -> Callable[..., Any]:
    """Makes a job, envelope first: `job(data, arguments…, principal=…)`; data that is a string is JSON text."""

    def make(data: Any = None, *arguments: Any, principal: Any = None, **envelope: str) -> Any:
        event = {"id": "1", "channel": "c", "type": "t", "time": "2026-01-01T00:00:00Z", "source": "s"} | envelope
        parsed = json.loads(data) if isinstance(data, str) else data
        return [*event.values()], [parsed, [[each, principal] for each in arguments or ({},)]]

    return make


@pytest.fixture
def run(declarations: list[Any]) -> Callable[..., Any]:
    """Calls one resolver with jobs, as the host does; the outcomes, parsed."""

    def call(field: str, *jobs: Any, loop: Any = None) -> Any:
        texts = [json.dumps(part) for part in zip(*jobs, strict=True)]
        return json.loads(Runner(declarations, loop).resolve(field, texts[1], texts[0], 1_000))

    return call


@pytest.fixture
def resolve(run: Callable[..., Any], job: Callable[..., Any]) -> Resolve:
    """Calls one resolver; an outcome for each of the given arguments."""

    def call(field: str, data: Any = None, *arguments: Any, **options: Any) -> list[Any]:
        outcomes: list[Any] = run(field, job(data, *arguments, **options))
        return outcomes

    return call


@pytest.fixture
def value(resolve: Resolve) -> Callable[..., Any]:
    """Calls one resolver that succeeds; its value."""

    def call(field: str, *rest: Any, **options: Any) -> Any:
        (outcome,) = resolve(field, *rest, **options)
        assert list(outcome) == ["value"], outcome
        return outcome["value"]

    return call


@pytest.fixture
def failure(resolve: Resolve) -> Callable[..., Any]:
    """Calls one resolver that fails; the failure."""

    def call(field: str, *rest: Any, **options: Any) -> Any:
        (outcome,) = resolve(field, *rest, **options)
        assert list(outcome) == ["failed"], outcome
        failure = SimpleNamespace(**{"extensions": None} | outcome["failed"])
        for text in (failure.message, failure.code, failure.traceback):
            assert text is None or (type(text) is str and text.encode() is not None)
        return failure

    return call


@pytest.fixture
def principal() -> dict[str, Any]:
    """Someone with claims."""
    return {"subject": "ada", "claims": {"role": "vip", "roles": ["a"]}}
