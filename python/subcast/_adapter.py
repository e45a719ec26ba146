"""The one thing that a web framework must bring: a WebSocket with seven members."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class Disconnected(Exception):
    """The client is gone. Adapters raise it when they are asked to receive or to send."""


class WebSocketAdapter(ABC):
    """A WebSocket of some framework.

    Seven members must be there, `headers` among them: without the headers of the request no page of a
    foreign origin could be refused. Those below them have a default that works, and are worth
    overriding: `receive_text` and `send_text` save a detour over Python objects, `subprotocols` and
    `client` let the engine decide who may connect.

    One task receives, another one sends; neither calls two of them at a time.
    """

    @abstractmethod
    async def accept(self, subprotocol: str | None = None) -> None:
        """Complete the handshake, with this subprotocol."""

    @abstractmethod
    async def receive_json(self) -> Any:
        """The next message, parsed. Raises `ValueError` if it is not JSON, `Disconnected` when the client is gone."""

    @abstractmethod
    async def send_json(self, data: Any) -> None:
        """Send a value as a text message."""

    @abstractmethod
    async def send_bytes(self, data: bytes) -> None:
        """Send ready UTF-8 as a *text* message: GraphQL clients do not read binary ones."""

    @abstractmethod
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with this code. Before `accept`, refuse the handshake."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether messages can be sent: accepted, and not closed by either side."""

    @property
    @abstractmethod
    def headers(self) -> Sequence[tuple[str, str]]:
        """All headers of the request, with names in lower case. They show the page's origin and the credential."""

    async def receive_text(self) -> str | bytes:
        """The next message as text, or as `bytes` if it was a binary one; raises `Disconnected` when the client is
        gone."""
        try:
            return json.dumps(await self.receive_json())
        except ValueError:
            # Whatever it was, it is no message of the protocol, and the protocol says what follows from that.
            return "not JSON"

    async def send_text(self, text: str) -> None:
        """Send a text message."""
        await self.send_bytes(text.encode())

    @property
    def subprotocols(self) -> Sequence[str] | None:
        """What the client offers; `None` if that is not known, and then the right one is assumed."""
        return None

    @property
    def client(self) -> str | None:
        """Address of the client, without a port."""
        return None
