"""The decorator."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from subcast_guest._definition import Definition, define

Resolver = TypeVar("Resolver", bound=Callable[..., Any])

definitions: list[Definition] = []
"""Every resolver declared so far, in order."""


def subscription(
    field: str,
    *,
    channel: str,
    events: str | Sequence[str] | None = None,
    match: Mapping[str, str] | None = None,
    where: str | None = None,
    idempotent: bool = False,
    example: Any = None,
) -> Callable[[Resolver], Resolver]:
    """Make a function the resolver of `Subscription.field`.

    The function takes `(event, variables)` or `(event, variables, context)`, with `def`
    or `async def`, and is returned unchanged. `event` is the event's data, `variables`
    the field's coerced arguments (a dict of its own for each call), `context` a
    `Context`; a resolver that takes it is called once per principal. It returns the
    field's whole value, from which the host selects; or `SKIP`; or `Completed(…)`.

    - `channel`: where its events are published; `"orders:{order_id}"` takes a required
      argument of the field.
    - `events`: types of events that reach it; by default the field's name, `"*"`: all.
    - `match`: argument → dotted path in the event's data. Where the argument is given,
      the two must be equal.
    - `where`: a CEL predicate over `event`, `args` and `claims`, evaluated by the host.
    - `idempotent`: may be called again for the same event although the module has side
      effects.
    - `example`: a value of the event's data, for a self-test at deployment.

    Raises `DefinitionError` where something about this cannot work.
    """

    def decorate(function: Resolver) -> Resolver:
        definitions.append(
            define(
                function,
                field=field,
                channel=channel,
                events=events,
                match=match,
                where=where,
                idempotent=idempotent,
                example=example,
            )
        )
        return function

    return decorate
