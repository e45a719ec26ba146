"""What a resolver may return besides the field's value."""

from typing import Any, Final, final


@final
class Skip:
    """The type of `SKIP`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "SKIP"


SKIP: Final = Skip()
"""Returned by a resolver: nothing is sent for this event."""


class _Nothing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<nothing>"


NOTHING: Final = _Nothing()


@final
class Completed:
    """Returned by a resolver: the subscription ends, after `value` if one is given.

    `Completed()` ends it at once; `Completed(None)` sends a last `null`.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any = NOTHING) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Completed({self.value!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Completed) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]
