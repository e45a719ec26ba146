"""A resolver as its decorator declares it, checked."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from subcast_guest import _json
from subcast_guest._errors import DefinitionError, ValueRefused
from subcast_guest._sources import location, relative

_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*", re.ASCII)
_VARIABLE_ARGUMENTS = 0x04 | 0x08  # CO_VARARGS, CO_VARKEYWORDS
_GENERATOR = 0x20 | 0x200  # CO_GENERATOR, CO_ASYNC_GENERATOR
_REMEDY = "write def {name}(event, variables) or def {name}(event, variables, context)"


@dataclass(frozen=True, slots=True)
class Definition:
    """One resolver; everything that the manifest tells about it."""

    field: str
    function: Callable[..., Any]
    qualname: str
    file: str
    line: int
    channel: str
    events: tuple[str, ...]
    matches: tuple[tuple[str, str], ...]
    where: str | None
    takes_context: bool
    idempotent: bool
    example: str | None

    @property
    def location(self) -> str:
        """`file:line function`."""
        return f"{self.file}:{self.line} {self.qualname}"


def define(
    function: Any,
    *,
    field: Any,
    channel: Any,
    events: Any,
    match: Any,
    where: Any,
    idempotent: Any,
    example: Any,
) -> Definition:
    """Check everything, in the order in which it is written. Raises `DefinitionError`."""
    code = _code(function, field)
    where_it_is = location(code)

    def check(holds: bool, problem: str) -> None:
        if not holds:
            raise DefinitionError(f"{where_it_is}: {problem}")

    check(
        isinstance(field, str) and _NAME.fullmatch(field) is not None,
        f'{field!r} is not the name of a field: write @subscription("fieldOfTheSchema", channel="…")',
    )
    check(
        isinstance(channel, str) and channel != "",
        f'channel must be a text such as "users" or "orders:{{order_id}}", not {channel!r}',
    )
    check(
        where is None or (isinstance(where, str) and where.strip() != ""),
        f'where must be a CEL predicate such as "event.data.total >= args.min", not {where!r}',
    )
    check(isinstance(idempotent, bool), f"idempotent must be True or False, not {idempotent!r}")
    example_text = None
    if example is not None:
        try:
            example_text = _json.encode(example)
        except ValueRefused as error:
            check(False, f"example: {error}")
    return Definition(
        field=field,
        function=function,
        qualname=code.co_qualname,
        file=relative(code.co_filename),
        line=code.co_firstlineno,
        channel=channel,
        events=_events(events, field, check),
        matches=_matches(match, check),
        where=where,
        takes_context=_takes_context(function, code, check),
        idempotent=idempotent,
        example=example_text,
    )


Check = Callable[[bool, str], None]


def _code(function: Any, field: Any) -> CodeType:
    """The code of the function that the author wrote, below any decorators that tell about it."""
    if not isinstance(function, FunctionType):
        kind = type(function).__name__
        remedy = "put @subscription on a def or async def at the module's top level"
        raise DefinitionError(
            f"@subscription({field!r}) is on {_describe(function)}, a {kind} and not a function: {remedy}"
        )
    innermost: Any = function
    for _ in range(100):
        inner = getattr(innermost, "__wrapped__", None)
        if not isinstance(inner, FunctionType):
            break
        innermost = inner
    return innermost.__code__ if isinstance(innermost, FunctionType) else function.__code__


def _describe(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None)
    return f"`{name}`" if isinstance(name, str) else f"{thing!r:.100}"


def _takes_context(function: FunctionType, code: CodeType, check: Check) -> bool:
    remedy = _REMEDY.format(name=code.co_name)
    path = code.co_qualname.split(".")
    check(
        len(path) == 1 or path[-2] == "<locals>",
        f"resolvers are functions, and this one is defined in class {path[-2] if len(path) > 1 else ''}: "
        "move it to the module's top level",
    )
    generator = (code.co_flags | function.__code__.co_flags) & _GENERATOR
    check(not generator, "the function yields: return one value per event instead, or SKIP for none")
    check(
        not code.co_flags & _VARIABLE_ARGUMENTS,
        f"*args and **kwargs leave open whether the resolver takes `context`: {remedy}",
    )
    check(code.co_kwonlyargcount == 0, f"keyword-only parameters cannot be filled: {remedy}")
    names = ", ".join(code.co_varnames[: code.co_argcount])
    check(code.co_argcount in (2, 3), f"the function takes ({names}): {remedy}")
    return code.co_argcount == 3


def _events(events: Any, field: str, check: Check) -> tuple[str, ...]:
    if events is None:
        return (field,)
    listed: Sequence[Any] = [events] if isinstance(events, str) else events
    check(
        isinstance(listed, (list, tuple))
        and len(listed) > 0
        and all(isinstance(kind, str) and kind for kind in listed),
        f'events must be a type such as "created", a list of types, or "*" for all, not {events!r}',
    )
    return tuple(dict.fromkeys(listed))


def _matches(match: Any, check: Check) -> tuple[tuple[str, str], ...]:
    if match is None:
        return ()
    remedy = 'write match={"argument": "path.in.data"}'
    check(isinstance(match, Mapping), f"match must be a dict, not {match!r}: {remedy}")
    for argument, path in match.items():
        check(
            isinstance(argument, str) and _NAME.fullmatch(argument) is not None,
            f"match: {argument!r} is not the name of an argument: {remedy}",
        )
        check(
            isinstance(path, str) and all(path.split(".")),
            f"match: {path!r} is not a dotted path below the event's data: {remedy}",
        )
    return tuple(match.items())
