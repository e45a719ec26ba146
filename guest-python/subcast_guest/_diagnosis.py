"""Why a value is not JSON: the slow path, which looks for the place and knows remedies."""

import math
from typing import Any

from subcast_guest._errors import ValueRefused

_STEPS = 20_000
"""How much of a value is looked at: a call has little time."""

_REMEDIES = {
    "bytes": 'decode it, for example with .decode() or base64.b64encode(…).decode("ascii")',
    "bytearray": "decode it, for example with .decode()",
    "set": "return a list, for example sorted(…)",
    "frozenset": "return a list, for example sorted(…)",
    "datetime": "return its .isoformat()",
    "date": "return its .isoformat()",
    "time": "return its .isoformat()",
    "timedelta": "return its .total_seconds()",
    "Decimal": "return str(…) or float(…) of it",
    "UUID": "return str(…) of it",
    "generator": "return list(…) of it",
    "map": "return list(…) of it",
    "filter": "return list(…) of it",
    "dict_keys": "return list(…) of it",
    "dict_values": "return list(…) of it",
    "coroutine": "await it",
    "Skip": "SKIP stands alone: return it instead of the whole value",
    "Completed": "Completed stands alone: return it instead of the whole value",
}


def refusal(value: Any, error: Exception) -> ValueRefused:
    """What to tell about `value`, which made the encoder raise `error`."""
    found = _find(value)
    if found is not None:
        return ValueRefused(found)
    if isinstance(error, ValueRefused):
        return error
    if isinstance(error, RecursionError):
        return ValueRefused("the value is nested more than 100 levels deep: return a flatter one")
    return ValueRefused(f"the value cannot be written as JSON ({error})")


def _find(value: Any) -> str | None:
    """The first thing in `value` that JSON lacks. Follows no container twice."""
    # An entry's place is its parent's and a step, put together only for the culprit.
    pending: list[tuple[Any, Any]] = [(value, None)]
    seen: set[int] = set()
    for item, place in pending:
        if len(pending) > _STEPS:
            break
        if isinstance(item, dict):
            if id(item) in seen:
                continue
            seen.add(id(item))
            for key, child in item.items():
                if not isinstance(key, str):
                    where = _path(place)
                    return f"{where} has a key of type {type(key).__name__}, and JSON has only strings: use str(…)"
                pending.append((child, (place, f".{key}")))
        elif isinstance(item, (list, tuple)):
            if id(item) in seen:
                continue
            seen.add(id(item))
            pending.extend((child, (place, f"[{index}]")) for index, child in enumerate(item))
        elif isinstance(item, float):
            if not math.isfinite(item):
                return f"{_path(place)} is {item!r}, which JSON lacks: return None, or a finite number"
        elif item is not None and not isinstance(item, (str, int)):
            kind = type(item).__name__
            if hasattr(type(item), "__dataclass_fields__"):
                remedy = "return dataclasses.asdict(…) of it"
            else:
                remedy = _REMEDIES.get(kind, "build it from dict, list, str, int, float, bool and None")
            return f"{_path(place)} is of type {kind}, which JSON lacks: {remedy}"
    return _cycle(value)


def _cycle(value: Any) -> str | None:
    """Whether a container contains itself: depth first, with the open containers in a set."""
    open_: set[int] = set()
    done: set[int] = set()
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack and len(done) + len(stack) < _STEPS:
        item, leaving = stack.pop()
        if not isinstance(item, (dict, list, tuple)):
            continue
        if leaving:
            open_.discard(id(item))
            done.add(id(item))
        elif id(item) in open_:
            return "the value contains itself, and JSON cannot say that: leave the inner reference out"
        elif id(item) not in done:
            open_.add(id(item))
            stack.append((item, True))
            stack.extend((child, False) for child in (item.values() if isinstance(item, dict) else item))
    return None


def _path(place: Any) -> str:
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(step)
    text = "value" + "".join(reversed(steps))
    return f"`{text}`" if len(text) <= 200 else f"`{text[:100]} … {text[-80:]}`"
