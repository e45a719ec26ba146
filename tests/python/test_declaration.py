"""`@subscription`: what may be declared, and what is said about the rest."""

import functools
import re
from typing import Any

import pytest

from subcast_guest import DefinitionError, subscription


def good(event: Any, variables: Any) -> Any:
    return event


def declare(function: Any = good, field: Any = "field", **options: Any) -> Any:
    return subscription(field, **({"channel": "c"} | options))(function)


def refused(function: Any = good, field: Any = "field", **options: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        declare(function, field, **options)
    return str(caught.value)


def test_the_function_is_returned_unchanged() -> None:
    assert declare(good) is good
    assert good({"id": 1}, {}) == {"id": 1}


def test_defaults_are_the_own_name_and_nothing_else(declarations: list[Any]) -> None:
    declare(good, "userUpdated")
    (definition,) = declarations
    assert definition.events == ("userUpdated",)
    assert definition.matches == ()
    assert (definition.where, definition.example, definition.idempotent) == (None, None, False)
    assert definition.takes_context is False


def test_everything_declared_is_kept(declarations: list[Any]) -> None:
    async def resolver(event: Any, variables: Any, context: Any) -> Any: ...

    declare(
        resolver,
        channel="orders:{id}",
        events=["a", "b", "a"],
        match={"id": "customer.id"},
        where="event.data.total > 1",
        idempotent=True,
        example={"id": "é"},
    )
    (definition,) = declarations
    assert definition.channel == "orders:{id}"
    assert definition.events == ("a", "b")
    assert definition.matches == (("id", "customer.id"),)
    assert definition.where == "event.data.total > 1"
    assert definition.idempotent is True
    assert definition.example == '{"id":"é"}'
    assert definition.takes_context is True


def test_a_definition_knows_where_it_is(declarations: list[Any]) -> None:
    declare(good)
    assert re.fullmatch(r"test_declaration\.py:\d+ good", declarations[0].location)


@pytest.mark.parametrize(("events", "kept"), [("one", ("one",)), ("*", ("*",)), (("a", "b"), ("a", "b"))])
def test_events_may_be_a_text_or_a_sequence(events: Any, kept: Any, declarations: list[Any]) -> None:
    declare(events=events)
    assert declarations[0].events == kept


def one(event: Any) -> None: ...
def four(event: Any, variables: Any, context: Any, more: Any) -> None: ...
def stars(*arguments: Any) -> None: ...
def double_stars(event: Any, variables: Any, **more: Any) -> None: ...
def keyword(event: Any, variables: Any, *, more: Any) -> None: ...


@pytest.mark.parametrize("function", [one, four, stars, double_stars, keyword])
def test_another_number_of_parameters_is_refused(function: Any) -> None:
    text = refused(function)
    assert f"test_declaration.py:{function.__code__.co_firstlineno} {function.__name__}: " in text
    assert f"write def {function.__name__}(event, variables)" in text


def generator(event: Any, variables: Any) -> Any:
    yield event


async def async_generator(event: Any, variables: Any) -> Any:
    yield event


@pytest.mark.parametrize("function", [generator, async_generator])
def test_a_generator_is_refused(function: Any) -> None:
    assert "the function yields: return one value per event" in refused(function)


class Class:
    def method(self, event: Any, variables: Any) -> None: ...

    def __call__(self, event: Any, variables: Any) -> None: ...


@pytest.mark.parametrize("thing", [Class, Class(), Class().method, functools.partial(good), 5, None, print])
def test_something_that_is_no_function_is_refused(thing: Any) -> None:
    assert "not a function: put @subscription on a def" in refused(thing)


def test_a_method_is_refused() -> None:
    assert "defined in class Class: move it to the module's top level" in refused(Class.method)


def test_a_wrapped_function_counts_with_its_own_parameters(declarations: list[Any]) -> None:
    def resolver(event: Any, variables: Any, context: Any) -> None: ...

    @functools.wraps(resolver)
    def wrapper(*arguments: Any, **more: Any) -> Any: ...

    assert declare(wrapper) is wrapper
    assert declarations[0].takes_context is True
    assert declarations[0].qualname.endswith("resolver")


def test_a_function_that_wraps_itself_is_no_trap() -> None:
    def resolver(event: Any, variables: Any) -> None: ...

    resolver.__wrapped__ = resolver  # type: ignore[attr-defined]
    declare(resolver)


@pytest.mark.parametrize("field", ["", "with space", "9", "a-b", "ümlaut", None, good])
def test_a_field_that_is_no_name_is_refused(field: Any) -> None:
    assert "is not the name of a field" in refused(field=field)


def test_a_forgotten_field_is_told() -> None:
    with pytest.raises(TypeError):
        subscription(good)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"channel": ""}, "channel must be a text"),
        ({"channel": None}, "channel must be a text"),
        ({"events": []}, "events must be a type"),
        ({"events": [1]}, "events must be a type"),
        ({"events": [""]}, "events must be a type"),
        ({"events": {"a"}}, "events must be a type"),
        ({"events": 3}, "events must be a type"),
        ({"match": "id"}, "match must be a dict"),
        ({"match": ["id"]}, "match must be a dict"),
        ({"match": {"id": 3}}, "is not a dotted path"),
        ({"match": {"id": "a..b"}}, "is not a dotted path"),
        ({"match": {"id": ""}}, "is not a dotted path"),
        ({"match": {"a b": "id"}}, "is not the name of an argument"),
        ({"match": {3: "id"}}, "is not the name of an argument"),
        ({"where": ""}, "where must be a CEL predicate"),
        ({"where": lambda event: True}, "where must be a CEL predicate"),
        ({"idempotent": 1}, "idempotent must be True or False"),
        ({"example": {"at": {1, 2}}}, "example: `value.at` is of type set"),
    ],
)
def test_options_of_other_types_are_refused(options: Any, text: str) -> None:
    said = refused(**options)
    assert text in said
    assert "test_declaration.py" in said and " good: " in said


def test_a_refused_resolver_is_not_declared(declarations: list[Any]) -> None:
    refused(one)
    assert declarations == []
