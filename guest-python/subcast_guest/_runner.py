"""From jobs to outcomes. The hot path: everything that is the same for all calls of a field is bound once.

Whatever a resolver does, a call returns an outcome for every invocation: an exception
that left the component's export would cost its instance.
"""

from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any, Protocol

from subcast_guest import _event
from subcast_guest._context import Context
from subcast_guest._definition import Definition
from subcast_guest._drive import drive
from subcast_guest._errors import GraphQLError, ValueRefused
from subcast_guest._failure import MESSAGE_LIMIT, describe, printable, trace
from subcast_guest._json import decode, encode
from subcast_guest._result import NOTHING, SKIP, Completed


class Principal(Protocol):
    """Who asks, as it comes from the host."""

    subject: str | None
    claims: str


class Invocation(Protocol):
    """One distinct way to ask, as it comes from the host."""

    arguments: str
    principal: Principal | None


class Job(Protocol):
    """One event for one field, as it comes from the host."""

    field: str
    event: _event.Envelope
    invocations: list[Any]


class Wire(Protocol):
    """The bindings of `interface types` that outcomes are made of."""

    Outcome_Value: Callable[[str], Any]
    Outcome_Skip: Callable[[], Any]
    Outcome_Completed: Callable[[str | None], Any]
    Outcome_Failed: Callable[[Any], Any]
    Failure: Callable[[str, str | None, str | None, bool, str | None], Any]


Invoke = Callable[[_event.Envelope, Any], Any]
Drive = Callable[[Any], Any]


class Runner:
    """The resolvers of a module, ready to be called."""

    def __init__(self, definitions: Iterable[Definition], wire: Wire, drive: Drive = drive) -> None:
        self._fields = {each.field: _bind(each, wire, drive) for each in definitions}
        self._wire = wire

    def resolve(self, jobs: Iterable[Job]) -> list[list[Any]]:
        """Outcomes in the order of the jobs, and in each in the order of its invocations."""
        answers = []
        for job in jobs:
            event = job.event
            invoke = self._fields.get(job.field) or self._unknown(job.field)
            answers.append([invoke(event, invocation) for invocation in job.invocations])
        _event.envelope = _event.data = None
        return answers

    def _unknown(self, field: str) -> Invoke:
        message = printable(f"this module has no resolver for Subscription.{field}", MESSAGE_LIMIT)
        outcome = self._wire.Outcome_Failed(self._wire.Failure(message, None, None, False, None))
        return lambda event, invocation: outcome


def _bind(definition: Definition, wire: Wire, drive: Drive) -> Invoke:
    function = definition.function
    takes_context = definition.takes_context
    value_of = wire.Outcome_Value
    skip = wire.Outcome_Skip()

    def invoke(event: _event.Envelope, invocation: Any) -> Any:
        try:
            # Parsed for each invocation: a resolver may change what it gets.
            _event.envelope = event
            _event.data = data = decode(event.data)
            text = invocation.arguments
            arguments = {} if text == "{}" else decode(text)
            if takes_context:
                principal = invocation.principal
                context = Context() if principal is None else Context(principal.subject, decode(principal.claims))
                value = function(data, arguments, context)
            else:
                value = function(data, arguments)
            if type(value) is CoroutineType:
                value = drive(value)
            kind = type(value)
            if kind is dict:
                return value_of(encode(value))
            if value is SKIP:
                return skip
            if kind is Completed:
                last = value.value
                return wire.Outcome_Completed(None if last is NOTHING else encode(last))
            return value_of(encode(value))
        except BaseException as error:
            return failed(definition, error, wire)

    return invoke


def failed(definition: Definition, error: BaseException, wire: Wire) -> Any:
    """The outcome of an invocation that raised."""
    failure = wire.Failure
    try:
        if isinstance(error, GraphQLError):
            extensions = None if error.extensions is None else encode(error.extensions)
            code = None if error.code is None else printable(error.code, MESSAGE_LIMIT)
            return wire.Outcome_Failed(
                failure(printable(error.message, MESSAGE_LIMIT), code, extensions, True, trace(error))
            )
    except BaseException as second:
        # Its code or extensions are not what they should be.
        error = second
    if type(error) is ValueRefused:
        message = printable(f"{definition.location}: {error}", MESSAGE_LIMIT)
        return wire.Outcome_Failed(failure(message, None, None, False, None))
    return wire.Outcome_Failed(failure(describe(error), None, None, False, trace(error)))
