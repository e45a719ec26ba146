"""The component's exports, with the real bindings: the manifest, a call."""

import asyncio  # noqa: F401 (as a module might)
import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import subcast_guest
from subcast_guest import Context, _json, _schema, subscription
from subcast_guest._errors import ValueRefused


@pytest.fixture
def exports(bindings: None, declarations: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Makes `Resolvers` of what the test has declared."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    component = importlib.import_module("subcast_guest._component")
    monkeypatch.setattr(component._build, "freeze", lambda: None)
    monkeypatch.setattr(_schema, "resolved", "type Subscription { a: Int }")
    component.module.cache_clear()
    yield component.Resolvers
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_manifest_tells_everything(exports: Callable[[], Any], wire: Any) -> None:
    @subscription("a", channel="c:{id}", events=["x", "y"], match={"id": "i.d"}, where="true", example=[1])
    async def resolver(event: Any, variables: Any, context: Context) -> Any: ...

    manifest = exports().describe(SimpleNamespace(output=1 << 20))
    assert manifest == wire.Manifest(
        sdk=f"subcast-guest {subcast_guest.__version__}",
        schema="type Subscription { a: Int }",
        fields=[
            wire.FieldManifest(
                name="a",
                function="test_the_manifest_tells_everything.<locals>.resolver",
                file="test_component.py",
                line=resolver.__code__.co_firstlineno,
                channel="c:{id}",
                events=["x", "y"],
                matches=[wire.Equality("id", "i.d")],
                where="true",
                context=True,
                idempotent=False,
                on_subscribe=False,
                example="[1]",
                extensions=None,
            )
        ],
        capabilities=[],
        extensions=None,
    )


def test_a_call_goes_through(exports: Callable[[], Any], job: Callable[..., Any]) -> None:
    @subscription("a", channel="c")
    async def resolver(event: Any, variables: Any) -> Any:
        return event

    envelope, asked = job({"n": 1})
    outcomes = exports().resolve("a", json.dumps([asked]), json.dumps([envelope]), 1000)
    assert outcomes == '[{"value":{"n":1}}]'


def test_every_subscription_is_accepted(exports: Callable[[], Any], wire: Any) -> None:
    assert exports().subscribe("a", "[{},null]") == wire.Admission_Accept(None)


def test_a_module_without_asyncio_needs_no_loop(exports: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncio", raising=False)
    assert exports().resolve.__self__._loop is None


def test_a_module_with_asyncio_has_one_loop(exports: Callable[[], Any]) -> None:
    assert "asyncio" in sys.modules
    assert exports().resolve.__self__._loop is exports().resolve.__self__._loop is not None


def test_log_lines_are_sent_once(exports: Callable[[], Any]) -> None:
    before = len(logging.getLogger().handlers)
    for _ in range(3):
        exports()
    assert len(logging.getLogger().handlers) == before + 1


def test_the_host_decides_how_large_a_value_may_be(exports: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_json, "limit", _json.limit)
    exports().describe(SimpleNamespace(output=2 << 20))
    assert len(_json.encode("x" * (3 << 19))) == (3 << 19) + 2
    exports().describe(SimpleNamespace(output=100))
    with pytest.raises(ValueRefused, match="102 bytes of JSON, and 100 is the limit: return less"):
        _json.encode("x" * 100)
