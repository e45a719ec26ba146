"""Hostile resolvers that fight with what they raise and return, down to the texts that cross to the host.

What each tries and what stops it is the table in `tests/it/hostile_guests.rs`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from subcast_guest import Completed, GraphQLError, _runner, subscription

Resolver = Callable[[dict, dict], Any]
SECRET = "a secret of the resolver"


def attack(function: Resolver) -> Resolver:
    """A field by the function's name, in camel case, on the channel of all attacks."""
    first, *rest = function.__name__.split("_")
    return subscription(first + "".join(map(str.capitalize, rest)), channel="attacks")(function)


@attack
def fine(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"]}


# --- exceptions ---


@attack
def raises_a_secret(event: dict, variables: dict) -> dict:
    raise ValueError(SECRET)


@attack
def raises_what_cannot_be_told(event: dict, variables: dict) -> dict:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError(SECRET)

        __repr__ = __str__

    raise Mute


@attack
def raises_what_is_told_for_ever(event: dict, variables: dict) -> dict:
    class Endless(Exception):
        def __str__(self) -> str:
            while True:
                pass

    raise Endless


@attack
def raises_what_raises_itself(event: dict, variables: dict) -> dict:
    class Again(BaseException):
        def __str__(self) -> str:
            raise self

    raise Again


@attack
def raises_what_ends_when_told(event: dict, variables: dict) -> dict:
    class Ends(Exception):
        def __str__(self) -> str:
            sys.exit(1)

    raise Ends


@attack
def raises_a_liar(event: dict, variables: dict) -> dict:
    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise KeyError(SECRET)

        def __instancecheck__(cls, instance: object) -> bool:
            raise KeyError(SECRET)

    class Liar(Exception, metaclass=Meta):
        @property
        def __class__(self) -> Any:
            raise KeyError(SECRET)

        def __getattribute__(self, name: str) -> Any:
            raise KeyError(SECRET)

    raise Liar


@attack
def raises_text_that_lies(event: dict, variables: dict) -> dict:
    class Text(str):
        def __len__(self) -> int:
            return -1

        def __getitem__(self, item: Any) -> Any:
            raise KeyError(SECRET)

        encode = isascii = __getitem__  # type: ignore[assignment]

    class Error(Exception):
        def __str__(self) -> str:
            return Text("told by a liar" * 1000)

    raise Error


@attack
def pretends_to_be_meant_for_the_client(event: dict, variables: dict) -> dict:
    class Error(Exception):
        __class__ = GraphQLError  # type: ignore[assignment]
        message = property(lambda self: 1 / 0)
        code = extensions = None

    raise Error(SECRET)


@attack
def raises_at_length(event: dict, variables: dict) -> dict:
    raise ValueError("x" * 20_000_000)


@attack
def raises_a_chain(event: dict, variables: dict) -> dict:
    error: BaseException = ValueError("first")
    for number in range(10_000):
        following = ValueError(f"link {number}")
        following.__cause__ = error
        error = following
    raise error


@attack
def raises_a_circle(event: dict, variables: dict) -> dict:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


@attack
def raises_a_group(event: dict, variables: dict) -> dict:
    error: Exception = ValueError("innermost")
    for number in range(20_000):
        error = ExceptionGroup(f"level {number}", [error])
    raise error


@attack
def raises_from_the_deep(event: dict, variables: dict) -> dict:
    def down(levels: int) -> dict:
        return down(levels - 1) if levels else raises_a_secret(event, variables)

    return down(500)


@attack
def raises_lines_of_the_host(event: dict, variables: dict) -> dict:
    raise ValueError("\n2026-01-01T00:00:00Z ERROR subcast: forged line\r\x1b[31m\x00")


@attack
def raises_outside_of_exception(event: dict, variables: dict) -> dict:
    class Gone(BaseException):
        pass

    raise Gone(SECRET)


@attack
def interrupts(event: dict, variables: dict) -> dict:
    raise KeyboardInterrupt


@attack
def closes_generators(event: dict, variables: dict) -> dict:
    raise GeneratorExit


@attack
def stops_iteration(event: dict, variables: dict) -> dict:
    raise StopIteration({"seq": 1})


@attack
def raises_memory_error(event: dict, variables: dict) -> dict:
    raise MemoryError


# --- errors for the client ---


@attack
def tells_the_client_much(event: dict, variables: dict) -> dict:
    raise GraphQLError("m" * 10**6, code="C" * 10**6, extensions={"more": "x" * 10**5})


@attack
def tells_the_client_nonsense(event: dict, variables: dict) -> dict:
    raise GraphQLError("nonsense", extensions={"more": object(), SECRET: {1, 2}})


@attack
def changes_what_it_tells(event: dict, variables: dict) -> dict:
    error = GraphQLError("changed")
    error.message = 7  # type: ignore[assignment]
    error.code = ["not a text"]  # type: ignore[assignment]
    raise error


@attack
def tells_the_client_over_the_envelope(event: dict, variables: dict) -> dict:
    raise GraphQLError("mine", code="MINE", extensions={"id": "0" * 16, "code": "THEIRS", "subcast": {"dropped": 9}})


# --- the end ---


@attack
def exits_by_name(event: dict, variables: dict) -> dict:
    sys.exit(3)


@attack
def exits_at_once(event: dict, variables: dict) -> dict:
    os._exit(3)


@attack
def aborts(event: dict, variables: dict) -> dict:
    os.abort()


# --- values ---


@attack
def returns_a_dict_without_end(event: dict, variables: dict) -> dict:
    class Endless(dict):
        def values(self) -> Iterator[int]:  # type: ignore[override]
            while True:
                yield 1

        def items(self) -> Iterator[tuple[str, int]]:  # type: ignore[override]
            while True:
                yield "seq", 1

    return Endless(seq=1)


@attack
def returns_a_dict_that_lies(event: dict, variables: dict) -> dict:
    class Liar(dict):
        def __len__(self) -> int:
            return -5

        def __iter__(self) -> Iterator[Any]:
            raise KeyError(SECRET)

        def items(self) -> Any:
            return [("seq", 1), (object(), object())]

    return Liar(seq=1)


@attack
def returns_texts_that_lie(event: dict, variables: dict) -> dict:
    class Text(str):
        def __len__(self) -> int:
            return -(10**6)

        def __str__(self) -> str:
            return '","forged":"'

        __repr__ = __str__

    return {Text("seq"): 1, "told": [Text("told")]}


@attack
def returns_numbers_that_lie(event: dict, variables: dict) -> dict:
    class Integer(int):
        def __repr__(self) -> str:
            return '1,"forged":true'

        __str__ = __repr__

    class Number(float):
        __repr__ = __str__ = Integer.__repr__  # type: ignore[assignment]

    return {"seq": Integer(7), "told": [Integer(8), Number(1.5)]}


@attack
def returns_an_object(event: dict, variables: dict) -> Any:
    class Thing:
        def __repr__(self) -> str:
            raise KeyError(SECRET)

    return {"seq": 1, "told": Thing()}


@attack
def returns_itself(event: dict, variables: dict) -> dict:
    value: dict = {"seq": 1}
    value["told"] = value
    return value


@attack
def returns_half_a_character(event: dict, variables: dict) -> dict:
    return {"seq": 1, "told": "\ud800"}


@attack
def returns_no_number(event: dict, variables: dict) -> dict:
    return {"seq": 1, "told": float("nan")}


@attack
def returns_a_huge_number(event: dict, variables: dict) -> dict:
    return {"seq": 10**4000}


@attack
def completes_with_nonsense(event: dict, variables: dict) -> Any:
    return Completed(Completed(object()))


# --- what crosses to the host, forged below the SDK ---

_resolve = _runner.Runner.resolve


def _forging(self: _runner.Runner, field: str, jobs: str, envelopes: str, deadline_ms: int) -> Any:
    honest = _resolve(self, field, jobs, envelopes, deadline_ms)
    if field != "forges":
        return honest
    return _FORGED[_forgery]()


_runner.Runner.resolve = _forging  # type: ignore[method-assign]
_forgery = ""


@attack
def forges(event: dict, variables: dict) -> dict:
    global _forgery
    _forgery = event["forgery"]
    return {"seq": 1}


# Made when asked for: they would make the component larger.
_FORGED: dict[str, Callable[[], Any]] = {
    "none": lambda: "[]",
    "too many": lambda: '["skip","skip"]',
    "a million": lambda: "[" + ",".join(['"skip"'] * 200_000) + "]",
    "nothing": lambda: "",
    "no JSON": lambda: "forged\n2026-01-01T00:00:00Z ERROR forged line",
    "an object": lambda: '{"value":1}',
    "an unknown variant": lambda: '[{"forged":1}]',
    "two variants": lambda: '[{"value":1,"skip":null}]',
    "a broken value": lambda: '[{"value":{"seq":}}]',
    "a bare control character": lambda: '[{"value":{"seq":1,"told":"a\nb"}}]',
    "a number that is none": lambda: '[{"value":{"seq":01}}]',
    "a failure of other types": lambda: '[{"failed":{"message":7,"expose":"yes"}}]',
    "a deep value": lambda: '[{"value":{"seq":1,"told":' + "[" * 300_000 + "]" * 300_000 + "}}]",
    "deep outcomes": lambda: "[" * 500_000,
    "no text": lambda: 7,
    "no answer": lambda: None,
    "half a character": lambda: '[{"value":"\ud800"}]',
    "a list": lambda: ['"skip"'],
    "much": lambda: '[{"value":"' + "x" * 8_000_000 + '"}]',
    # What holds, and must not harm.
    "300,000 errors": lambda: '[{"value":{"seq":1,"many":[' + "[]," * 300_000 + "[]]}}]",
    "300,000 numbers": lambda: '[{"value":{"seq":1,"many":[' + "1," * 300_000 + "1]}}]",
    "white space": lambda: '  [ { "value" : { "seq" : 1 } } ]  ',
    "a name twice": lambda: '[{"value":{"seq":1,"seq":2}}]',
    "half a character, escaped": lambda: '[{"value":{"seq":1,"told":"\\ud800"}}]',
    "extensions that are none": lambda: (
        '[{"failed":{"message":"m","code":null,"extensions":[1],"expose":true,"traceback":null}}]'
    ),
    "deep extensions": lambda: (
        '[{"failed":{"message":"m","code":null,"extensions":{"a":'
        + "[" * 7000
        + "]" * 7000
        + '},"expose":true,"traceback":null}}]'
    ),
    "a long failure": lambda: (
        '[{"failed":{"message":"' + "m" * 500_000 + '","expose":false,"traceback":"' + "t\\n" * 100_000 + '"}}]'
    ),
    "an exposed flood": lambda: (
        '[{"failed":{"message":"' + "m" * 900_000 + '","code":"' + "C" * 100_000 + '","expose":true}}]'
    ),
}
