"""JSON in and out: strict, bounded, and as fast as the standard library's C code allows.

`json.dumps` builds an encoder per call and turns keys such as `1` and `True` into
strings without a word. Here the C encoder is built once, and values are looked through
first: keys must be strings, and a value must not be larger than the host will take.
"""

import json
import json.encoder
from collections.abc import Callable
from functools import partial
from typing import Any

from subcast_guest._diagnosis import refusal
from subcast_guest._errors import ValueRefused

limit = 1 << 20
"""Bytes of JSON that one value may have, unless the host says otherwise."""

DEPTH = 100
"""Levels of nesting. The C encoder recurses, and a component's stack is small."""

_options: dict[str, Any] = {
    "ensure_ascii": False,
    "allow_nan": False,
    "check_circular": False,
    "separators": (",", ":"),
}
_encoder = json.JSONEncoder(**_options)
_decoder: Any = json.JSONDecoder()
scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once
"""Decodes the value that begins exactly here; also says where it ends."""

_join = "".join

_FEW = 100
_SHORT = 1_000
_SCALARS = frozenset({int, float, bool, type(None)})
_IMMUTABLE = _SCALARS | {str}
_chunks: Callable[[Any, int], Any]
if (_make := getattr(json.encoder, "c_make_encoder", None)) is not None:
    _quote: Any = json.encoder.encode_basestring
    # Without markers for what it is in: `_look_through` has found cycles before.
    _chunks = _make(None, _encoder.default, _quote, None, ":", ",", False, False, False)
else:

    def _chunks(value: Any, _level: int) -> Any:
        return _encoder.iterencode(value)


def decode(text: str) -> Any:
    """The value of a text from the host, which is JSON without white space before it."""
    return scan(text, 0)[0]


def copier(value: Any) -> Callable[[], Any]:
    """Makes copies of a decoded value as it is now."""
    if type(value) is dict and _IMMUTABLE.issuperset(map(type, value.values())):
        return value.copy().copy
    return partial(decode, encode_unchecked(value))


def encode(value: Any) -> str:
    """Compact JSON text. Raises `ValueRefused`, which names the place in the value and a remedy."""
    # What most resolvers return, few short scalars by name, needs no more than this look.
    if type(value) is dict and len(value) <= _FEW:
        for key, child in value.items():
            kind = type(child)
            if ((kind is str and len(child) <= _SHORT) or kind in _SCALARS) and type(key) is str:
                continue
            _look_through(value)
            break
    else:
        _look_through(value)
    try:
        text = _join(_chunks(value, 0))
    except (TypeError, ValueError, RecursionError) as error:
        raise refusal(value, error) from None
    if text.isascii():
        if len(text) > limit:
            raise too_large(len(text))
        return text
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueRefused(
            "the value contains half of a surrogate pair, which is no character: "
            'repair the text with text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        ) from None
    if size > limit:
        raise too_large(size)
    return text


def encode_unchecked(value: Any) -> str:
    """The same for a value that is known to be JSON and not too large."""
    return _join(_chunks(value, 0))


def allow(size: int) -> None:
    """Sets the limit of one value, in bytes of JSON."""
    global limit
    limit = size


def too_large(size: int | None = None) -> ValueRefused:
    """The refusal of a value of `size` bytes; unknown if it was not even serialized."""
    told = f"more than {limit:,}" if size is None else f"{size:,}"
    return ValueRefused(
        f"the value has {told} bytes of JSON, and {limit:,} is the limit: return less, "
        "or raise `output` of this module in the host's configuration"
    )


def _look_through(value: Any) -> None:
    """Check keys, depth, and that the value is not far too large, before any text is made.

    Level by level. The sizes counted are those of the shortest text, so nothing
    acceptable is refused; and they fall with every step, so nothing goes on for ever.
    """
    budget = limit
    level = [value]
    for _ in range(DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict or isinstance(item, dict):
                try:
                    # The quickest way to see that all keys are strings.
                    budget -= len(_join(item)) + 5 * len(item)
                except TypeError as error:
                    raise refusal(value, error) from None
                children: Any = item.values()
            elif kind is list or isinstance(item, (list, tuple)):
                budget -= 2 * len(item)
                children = item
            else:
                if isinstance(item, str):
                    budget -= len(item)
                continue
            for child in children:
                kind = type(child)
                if kind is str:
                    budget -= len(child)
                elif kind not in _SCALARS:
                    below.append(child)
            if budget < 0:
                raise refusal(value, too_large())
        if not below:
            return
        level = below
    raise refusal(value, RecursionError())
