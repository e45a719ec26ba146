"""The whole event, for resolvers that need more than its data."""

from dataclasses import dataclass
from typing import Any

from subcast_guest._json import decode


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


class Current:
    """What is being resolved. One invocation runs at a time, so one of these does."""

    __slots__ = ("data", "envelopes", "job")

    def __init__(self) -> None:
        self.envelopes: str | None = None
        """What surrounds the data of each of the call's events; text, since few ask. `None` between calls."""
        self.job = 0
        """Which of them it is."""
        self.data: Any = None


current = Current()


def current_event() -> Event:
    """The event that is being resolved. Raises `RuntimeError` outside of a resolver."""
    if current.envelopes is None:
        raise RuntimeError("current_event() was called outside of a resolver: there is no event")
    id, channel, type, time, source = decode(current.envelopes)[current.job]
    return Event(id, channel, type, time, source, current.data)
