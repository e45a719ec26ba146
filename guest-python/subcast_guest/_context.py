"""Who asks."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Context:
    """The subscriber, for resolvers that take a third parameter.

    Such a field is resolved once per principal instead of once for all who ask the
    same. Each call gets an object of its own.
    """

    subject: str | None = None
    """The `sub` of the subscriber's token; `None` for anonymous ones."""

    claims: dict[str, Any] = field(default_factory=dict)
    """All claims of the token; empty for anonymous ones."""
