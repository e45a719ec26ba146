"""From jobs to outcomes. The hot path: everything that is the same for all calls of a field is bound once.

Whatever a resolver does, a call returns an outcome for every invocation: an exception
that left the component's export would cost its instance.
"""

from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any, Protocol

from subcast_guest._context import Context
from subcast_guest._definition import Definition
from subcast_guest._drive import drive
from subcast_guest._errors import GraphQLError, ValueRefused
from subcast_guest._event import current
from subcast_guest._failure import MESSAGE_LIMIT, describe, printable, trace
from subcast_guest._json import copier, encode, encode_unchecked, scan
from subcast_guest._result import NOTHING, SKIP, Completed

Invoke = Callable[[Any, dict[str, Any], dict[str, Any] | None], str]
"""Takes the event's data, the arguments and the principal, which it may keep; returns an outcome's text."""

Drive = Callable[[Any], Any]


class Loop(Protocol):
    """An event loop for one call at a time."""

    def begin(self, seconds: float) -> None:
        """A call begins, which has so much time."""

    def drive(self, coroutine: Any) -> Any:
        """What the coroutine returns."""


class Runner:
    """The resolvers of a module, ready to be called."""

    def __init__(self, definitions: Iterable[Definition], loop: Loop | None = None) -> None:
        self._loop = loop
        self._fields = {each.field: _bind(each, drive if loop is None else loop.drive) for each in definitions}

    def resolve(self, field: str, jobs: str, envelopes: str, deadline_ms: int) -> str:
        """The outcomes of `jobs`: all texts are as `wit/resolver.wit` describes them."""
        if self._loop is not None:
            self._loop.begin(deadline_ms / 1000)
        invoke = self._fields.get(field) or _unknown(field)
        outcomes = []
        current.envelopes = envelopes
        for current.job, (data, invocations) in enumerate(scan(jobs, 0)[0]):
            # Each invocation gets data of its own: a resolver may change what it gets.
            copy = copier(data) if len(invocations) > 1 else None
            for arguments, principal in invocations:
                current.data = data
                outcomes.append(invoke(data, arguments, principal))
                if copy is not None:
                    data = copy()
        current.envelopes = current.data = None
        return f"[{','.join(outcomes)}]"


def _unknown(field: str) -> Invoke:
    outcome = _failed(f"this module has no resolver for Subscription.{field}")
    return lambda data, arguments, principal: outcome


def _bind(definition: Definition, drive: Drive) -> Invoke:
    function = definition.function
    takes_context = definition.takes_context

    def invoke(data: Any, arguments: dict[str, Any], principal: dict[str, Any] | None) -> str:
        try:
            if takes_context:
                context = Context() if principal is None else Context(principal["subject"], principal["claims"])
                value = function(data, arguments, context)
            else:
                value = function(data, arguments)
            if type(value) is CoroutineType:
                value = drive(value)
            kind = type(value)
            if kind is dict:
                return f'{{"value":{encode(value)}}}'
            if kind is Completed:
                last = value.value
                return '"completed"' if last is NOTHING else f'{{"last":{encode(last)}}}'
            return '"skip"' if value is SKIP else f'{{"value":{encode(value)}}}'
        except BaseException as error:
            return failed(definition, error)

    return invoke


def failed(definition: Definition, error: BaseException) -> str:
    """The outcome of an invocation that raised."""
    try:
        if isinstance(error, GraphQLError):
            extensions = None if error.extensions is None else encode(error.extensions)
            code = None if error.code is None else printable(error.code, MESSAGE_LIMIT)
            return _failed(error.message, code, extensions, expose=True, traceback=trace(error))
    except BaseException as second:
        # Its code or extensions are not what they should be.
        error = second
    if type(error) is ValueRefused:
        return _failed(f"{definition.location}: {error}")
    return _failed(describe(error), traceback=trace(error))


def _failed(
    message: str,
    code: str | None = None,
    extensions: str | None = None,
    *,
    expose: bool = False,
    traceback: str | None = None,
) -> str:
    """The outcome of this failure. `extensions` are JSON text."""
    failure = {"message": printable(message, MESSAGE_LIMIT), "code": code, "expose": expose, "traceback": traceback}
    text = encode_unchecked(failure)
    if extensions is not None:
        text = f'{text[:-1]},"extensions":{extensions}}}'
    return f'{{"failed":{text}}}'
