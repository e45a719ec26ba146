"""Values that JSON cannot carry, or the host would not take: refused with the place and a remedy."""

import dataclasses
import datetime
import decimal
import enum
import json
import time
import uuid
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from typing import Any

import pytest

from subcast_guest import SKIP, Completed, subscription
from subcast_guest._errors import ValueRefused
from subcast_guest._json import decode, encode
from subcast_guest._json import limit as LIMIT

Call = Callable[..., Any]


@dataclasses.dataclass
class Point:
    x: int


def refused(value: Any) -> str:
    with pytest.raises(ValueRefused) as caught:
        encode(value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "`value` is nan, which JSON lacks: return None"),
        ({"a": [1, float("inf")]}, "`value.a[1]` is inf"),
        ({"a": b"x"}, "`value.a` is of type bytes, which JSON lacks: decode it"),
        ({"a": {"b": {1}}}, "`value.a.b` is of type set, which JSON lacks: return a list"),
        ([datetime.datetime.now()], "`value[0]` is of type datetime, which JSON lacks: return its .isoformat()"),
        ({"a": decimal.Decimal(1)}, "return str(…) or float(…) of it"),
        ({"a": uuid.UUID(int=1)}, "return str(…) of it"),
        ({"a": (n for n in range(1))}, "return list(…) of it"),
        ({"a": Point(1)}, "is of type Point, which JSON lacks: return dataclasses.asdict(…) of it"),
        ({"a": object()}, "build it from dict, list, str, int, float, bool and None"),
        ({"a": SKIP}, "SKIP stands alone"),
        ([Completed(1)], "Completed stands alone"),
        ({1: "a"}, "`value` has a key of type int, and JSON has only strings: use str(…)"),
        ({"a": [{None: 1}]}, "`value.a[0]` has a key of type NoneType"),
        ({True: 1}, "`value` has a key of type bool"),
        ({("a",): 1}, "`value` has a key of type tuple"),
        ({"a": {b"k": 1}}, "`value.a` has a key of type bytes"),
        ("\ud800", "half of a surrogate pair"),
        ({"a\udfff": 1}, "half of a surrogate pair"),
    ],
)
def test_what_json_lacks_is_refused_with_a_remedy(value: Any, text: str) -> None:
    assert text in refused(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    ring: list[Any] = [1]
    ring.append({"again": ring})
    assert "contains itself" in refused(ring)
    assert encode([1]) == "[1]"


def test_the_same_value_twice_is_no_ring() -> None:
    shared = {"a": 1}
    assert encode([shared, shared]) == '[{"a":1},{"a":1}]'


def test_deep_values_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested more than 100 levels deep" in refused(deep)


def test_a_hundred_levels_are_taken() -> None:
    value: list[Any] = []
    for _ in range(99):
        value = [value]
    assert encode(value) == "[" * 100 + "]" * 100
    assert "100 levels" in refused([value])


def test_a_value_that_unfolds_into_more_is_refused_in_time() -> None:
    laughs: list[Any] = ["ha"]
    for _ in range(60):
        laughs = [laughs, laughs]
    began = time.monotonic()
    assert "1,048,576 is the limit" in refused(laughs)
    assert time.monotonic() - began < 2


def test_nothing_of_a_failure_remains() -> None:
    inner = {"a": object()}
    for _ in range(3):
        refused([inner])
    inner["a"] = None
    assert encode([inner]) == '[{"a":null}]'


@pytest.mark.parametrize(
    "value",
    [
        "x" * LIMIT,
        ["x"] * LIMIT,
        [1] * (LIMIT // 2),
        dict.fromkeys(map(str, range(LIMIT // 8))),
        {"a": ["y" * 1_000] * 1_100},
        "é" * (LIMIT // 2),
        {"k" * LIMIT: 1},
    ],
)
def test_a_value_of_more_than_a_mebibyte_is_refused(value: Any) -> None:
    assert "1,048,576 is the limit: return less, or raise `output` of this module" in refused(value)


def test_a_value_of_just_a_mebibyte_is_taken() -> None:
    assert len(encode("x" * (LIMIT - 2))) == LIMIT
    assert "1,048,577 bytes" in refused("x" * (LIMIT - 1))


class Colour(enum.StrEnum):
    RED = "red"


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Colour.RED, '"red"'),
        ({Colour.RED: 1}, '{"red":1}'),
        (Pair(1, 2), "[1,2]"),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (defaultdict(list, a=[1]), '{"a":[1]}'),
        ([10**30, -0.0, 1e300], "[1000000000000000000000000000000,-0.0,1e+300]"),
        ('ü\n"\\ \u2028', '"ü\\n\\"\\\\ \u2028"'),
    ],
)
def test_what_json_can_say_is_said(value: Any, text: str) -> None:
    assert encode(value) == text


def test_subclasses_of_containers_are_looked_through() -> None:
    assert "`value.a` has a key of type int" in refused(OrderedDict(a=OrderedDict({1: 2})))


def test_a_container_that_fights_back_fails_alone() -> None:
    class Bomb(dict[str, Any]):
        def values(self) -> Any:
            raise SystemExit

    with pytest.raises(SystemExit):
        encode({"a": Bomb(b=1)})
    assert encode({"a": 1}) == '{"a":1}'


def test_texts_of_the_host_are_parsed_as_they_are() -> None:
    for text in ['{"a":[1,2.5,null,true,"é"]}', '{"a": 1}\n', "5", '"x"', "[]"]:
        assert decode(text) == json.loads(text)


def test_the_failure_names_file_function_and_place(failure: Call) -> None:
    @subscription("field", channel="c")
    def tags_of_user(event: Any, variables: Any) -> Any:
        return {"user": {"tags": {"a"}}}

    failed = failure("field")
    assert failed.message.startswith("test_values.py:")
    assert "tags_of_user: `value.user.tags` is of type set, which JSON lacks: return a list" in failed.message
    assert (failed.expose, failed.traceback) == (False, None)
