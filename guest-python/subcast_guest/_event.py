"""The whole event, for resolvers that need more than its data."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Maps one to one onto CloudEvents 1.0."""

    id: str
    channel: str
    type: str
    time: str
    """RFC 3339, with zone."""
    source: str
    data: Any
    """The very object that the resolver got as its first parameter."""


class Envelope(Protocol):
    """An event as it comes from the host; `data` is JSON text."""

    id: str
    channel: str
    type: str
    time: str
    source: str
    data: str


# One invocation runs at a time, so plain variables do: `envelope` is None between two.
envelope: Envelope | None = None
data: Any = None


def current_event() -> Event:
    """The event that is being resolved. Raises `RuntimeError` outside of a resolver."""
    if envelope is None:
        raise RuntimeError("current_event() was called outside of a resolver: there is no event")
    return Event(envelope.id, envelope.channel, envelope.type, envelope.time, envelope.source, data)
