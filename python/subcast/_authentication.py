"""Who is it? The application's own answer."""

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from subcast import _native

_log = logging.getLogger("subcast")


@dataclass(frozen=True, slots=True)
class AuthenticationRequest:
    """What a client shows. Holds credentials: do not log it."""

    payload: dict[str, Any] | None
    """The payload of `connection_init`, or of a `ping` that shows a new token; `None` if there was none."""

    headers: Mapping[str, str]
    """Headers of the WebSocket's request, names in lower case; of repeated ones the first. Empty in a later `ping`
    but for `authorization`."""

    @property
    def authorization(self) -> str | None:
        """The credential: `authorization` of the payload, or of its `headers`, or the header of that name."""
        for place in (self.payload, (self.payload or {}).get("headers")):
            if isinstance(place, dict):
                for name, value in place.items():
                    if name.lower() == "authorization" and isinstance(value, str):
                        return value
        return self.headers.get("authorization")


OnAuthenticate = Callable[[AuthenticationRequest], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]
"""Returns the claims of whoever it is (`{}`: somebody, of whom nothing is known), or `None` to keep them out.

An exception keeps them out, too; it is logged, and the client learns nothing of it. May be a coroutine function; has
10 seconds. Runs on the manager's event loop."""


async def answer(question: _native.Question, on_authenticate: OnAuthenticate) -> None:
    """Put a question to the application."""
    payload = None if question.payload is None else json.loads(question.payload)
    headers: dict[str, str] = {}
    for name, value in question.headers:
        headers.setdefault(name, value)
    try:
        claims = on_authenticate(AuthenticationRequest(payload, headers))
        if inspect.isawaitable(claims):
            claims = await claims
        if claims is None:
            question.refuse("on_authenticate returned None")
        elif isinstance(claims, Mapping):
            question.accept(dict(claims))
        else:
            raise TypeError(
                f"on_authenticate must return a mapping of claims, or None; it returned {type(claims).__name__}"
            )
    except Exception as error:
        question.refuse(f"on_authenticate raised {type(error).__name__}")
        _log.exception("on_authenticate failed; the client is kept out")
