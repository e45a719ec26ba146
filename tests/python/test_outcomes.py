"""From what a resolver does to what the host is told."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from subcast_guest import SKIP, Completed, Context, Event, GraphQLError, current_event, subscription
from subcast_guest._runner import Runner

Call = Callable[..., Any]


def resolver(function: Any) -> Any:
    return subscription("field", channel="c")(function)


def raising(error: BaseException) -> None:
    @resolver
    def field(event: Any, variables: Any) -> Any:
        raise error


def test_a_value_is_compact_json(job: Call, declarations: list[Any]) -> None:
    @resolver
    def field(event: Any, variables: Any) -> Any:
        return {"id": event["id"], "n": variables["n"], "name": "Zoë"}

    envelope, asked = job({"id": "1"}, {"n": [1, 2]})
    outcomes = Runner(declarations).resolve("field", json.dumps([asked]), json.dumps([envelope]), 1_000)
    assert outcomes == '[{"value":{"id":"1","n":[1,2],"name":"Zoë"}}]'


@pytest.mark.parametrize("answer", [None, 5, 1.5, True, "text", [], [{}], {}, (1, 2)])
def test_any_json_value_will_do(answer: Any, value: Call) -> None:
    resolver(lambda event, variables: answer)
    assert value("field") == (list(answer) if isinstance(answer, tuple) else answer)


def test_skip_and_completed(resolve: Call) -> None:
    @resolver
    def field(event: Any, variables: Any) -> Any:
        return (
            event and {"skip": SKIP, "last": Completed(None), "end": Completed(), "value": Completed({"a": 1})}[event]
        )

    assert resolve("field", '"skip"') == ["skip"]
    assert resolve("field", '"last"') == [{"last": None}]
    assert resolve("field", '"end"') == ["completed"]
    assert resolve("field", '"value"') == [{"last": {"a": 1}}]


def test_a_completed_value_is_checked(failure: Call) -> None:
    resolver(lambda event, variables: Completed({1}))
    assert "is of type set" in failure("field").message


def test_outcomes_keep_the_order_of_jobs_and_invocations(run: Call, job: Call) -> None:
    @subscription("b", channel="c")
    async def b(event: Any, variables: Any) -> Any:
        if variables["n"] == 1:
            raise ValueError
        return event

    jobs = [job("7", {"n": 0}, {"n": 1}, {"n": 2}), job("8", {"n": 1}), job("9", {"n": 4})]
    said = [outcome.get("value", "failed") for outcome in run("b", *jobs)]
    assert said == [7, "failed", 7, "failed", 9]


def test_an_unknown_field_fails_alone(resolve: Call) -> None:
    first, second = resolve("nobody", None, {}, {})
    assert first == second
    assert first["failed"]["message"] == "this module has no resolver for Subscription.nobody"
    assert first["failed"]["expose"] is False


def test_context_tells_who_asks(value: Call, principal: Any) -> None:
    @resolver
    def field(event: Any, variables: Any, context: Context) -> Any:
        assert isinstance(context, Context)
        return [context.subject, context.claims]

    assert value("field", principal=principal) == ["ada", {"role": "vip", "roles": ["a"]}]
    assert value("field") == [None, {}]


def test_current_event_is_the_whole_event(value: Call) -> None:
    @resolver
    def field(event: Any, variables: Any) -> Any:
        envelope = current_event()
        assert isinstance(envelope, Event)
        assert envelope.data is event
        return [envelope.id, envelope.channel, envelope.type, envelope.time, envelope.source]

    said = value("field", {}, id="7", channel="x", type="t", source="here")
    assert said == ["7", "x", "t", "2026-01-01T00:00:00Z", "here"]


def test_there_is_no_event_outside_of_a_resolver(value: Call) -> None:
    resolver(lambda event, variables: 1)
    value("field")
    with pytest.raises(RuntimeError, match="outside of a resolver"):
        current_event()


def test_a_graphql_error_is_exposed(failure: Call) -> None:
    raising(GraphQLError("not today", code="NOT_TODAY", extensions={"hint": 7}))
    failed = failure("field")
    assert (failed.message, failed.code, failed.extensions, failed.expose) == (
        "not today",
        "NOT_TODAY",
        {"hint": 7},
        True,
    )


def test_a_subclass_of_graphql_error_is_exposed_too(failure: Call) -> None:
    class Forbidden(GraphQLError):
        def __init__(self) -> None:
            super().__init__("no", code="FORBIDDEN")

    raising(Forbidden())
    assert (failure("field").message, failure("field").expose) == ("no", True)


@pytest.mark.parametrize(
    "wrong", [{"message": 5}, {"message": "m", "code": 5}, {"message": "m", "extensions": [1]}, {"message": None}]
)
def test_a_graphql_error_with_other_types_is_refused(wrong: Any) -> None:
    message = wrong.pop("message")
    with pytest.raises(TypeError, match="GraphQLError: "):
        GraphQLError(message, **wrong)


def test_extensions_that_are_not_json_are_not_exposed(failure: Call) -> None:
    raising(GraphQLError("secret", extensions={"a": {1}}))
    failed = failure("field")
    assert failed.expose is False
    assert "`value.a` is of type set" in failed.message


def test_a_graphql_error_that_was_tampered_with_is_not_exposed(failure: Call) -> None:
    error = GraphQLError("m")
    error.message = 5  # type: ignore[assignment]
    raising(error)
    assert failure("field").expose is False


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("a secret"), "ValueError: a secret"),
        (KeyError("id"), "KeyError: 'id'"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (MemoryError(), "MemoryError"),
        (StopIteration(5), "StopIteration: 5"),
        (BaseExceptionGroup("several", [SystemExit(1)]), "BaseExceptionGroup: several (1 sub-exception)"),
    ],
)
def test_any_other_exception_is_not_exposed(error: BaseException, message: str, failure: Call) -> None:
    raising(error)
    failed = failure("field")
    assert (failed.message, failed.code, failed.extensions, failed.expose) == (message, None, None, False)


def test_endless_recursion_is_a_failure(failure: Call) -> None:
    @resolver
    def field(event: Any, variables: Any) -> Any:
        return field(event, variables)

    failed = failure("field")
    assert failed.message.startswith("RecursionError: ")
    assert "more frames]" in failed.traceback
    assert len(failed.traceback) < 16 * 1024


def test_a_traceback_has_the_authors_frames_only(failure: Call) -> None:
    def helper() -> Any:
        raise ValueError("inner")

    @resolver
    def field(event: Any, variables: Any) -> Any:
        return helper()

    lines = failure("field").traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith('  File "test_outcomes.py", line ')
    assert lines[2] == "    return helper()"
    assert lines[-1] == "ValueError: inner"
    assert len(lines) == 6


def test_a_traceback_tells_causes(failure: Call) -> None:
    @resolver
    def field(event: Any, variables: Any) -> Any:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    text = failure("field").traceback
    assert text.index("KeyError: 'first'") < text.index("direct cause of:") < text.index("ValueError: second")


def test_an_endless_chain_of_causes_is_cut(failure: Call) -> None:
    first = last = ValueError("0")
    for number in range(10_000):
        last.__cause__ = ValueError(str(number))
        last = last.__cause__
    last.__cause__ = first
    raising(first)
    assert failure("field").traceback.count("ValueError") == 4


def test_a_huge_text_is_cut(failure: Call) -> None:
    raising(ValueError("é" * 1_000_000))
    failed = failure("field")
    assert len(failed.message) == 1024
    assert len(failed.traceback.encode()) <= 16 * 1024


class Fighter(Exception):
    def __str__(self) -> str:
        raise SystemExit("I do not speak")

    __repr__ = __str__


def name(kind: type) -> str:
    """A class's name, without asking the class."""
    return str(type.__dict__["__name__"].__get__(kind))


class Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError


class Anonymous(Exception, metaclass=Nameless):
    pass


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


class LoudText(str):
    def __len__(self) -> int:
        raise ValueError


class Loud(Exception):
    def __str__(self) -> str:
        return LoudText("loud")


class Recursive(Exception):
    def __str__(self) -> str:
        return str(self)


@pytest.mark.parametrize("kind", [Fighter, Anonymous, NoText, Loud, Recursive], ids=lambda kind: name(kind))
def test_exceptions_that_fight_back_are_told_all_the_same(kind: Any, failure: Call) -> None:
    raising(kind())
    failed = failure("field")
    assert name(kind) in failed.message
    assert failed.expose is False


def test_half_a_surrogate_pair_never_leaves(failure: Call) -> None:
    raising(GraphQLError("m\ud800", code="\udfff"))
    assert (failure("field").message, failure("field").code) == ("m?", "?")
    raising(ValueError("\ud800"))
    assert failure("field").message == "ValueError: ?"


def test_a_resolver_may_raise_the_limit_of_recursion(failure: Call) -> None:
    before = sys.getrecursionlimit()

    @resolver
    def field(event: Any, variables: Any) -> Any:
        sys.setrecursionlimit(before + 100)
        return field(event, variables)

    try:
        assert failure("field").message.startswith("RecursionError")
    finally:
        sys.setrecursionlimit(before)
