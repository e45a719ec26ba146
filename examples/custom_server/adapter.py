"""A WebSocket of aiohttp for Subcast: the template for a server that is not ASGI."""

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import WSMsgType, web

from subcast import Disconnected, WebSocketAdapter


class AiohttpWebSocketAdapter(WebSocketAdapter):
    """Seven members, and those that are worth having besides."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._socket: web.WebSocketResponse | None = None

    # --- the seven ---

    async def accept(self, subprotocol: str | None = None) -> None:
        self._socket = web.WebSocketResponse(protocols=[subprotocol] if subprotocol else [])
        await self._socket.prepare(self._request)

    async def receive_json(self) -> Any:
        return json.loads(await self.receive_text())

    async def send_json(self, data: Any) -> None:
        await self.send_text(json.dumps(data))

    async def send_bytes(self, data: bytes) -> None:
        # `send_bytes` of aiohttp would send a binary message, which GraphQL clients do not read.
        await self.send_text(data.decode())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._socket is None:
            raise web.HTTPForbidden(reason=reason)
        await self._socket.close(code=code, message=reason.encode())

    @property
    def is_connected(self) -> bool:
        return self._socket is not None and not self._socket.closed

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        return [(name.lower(), value) for name, value in self._request.headers.items()]

    # --- worth having ---

    async def receive_text(self) -> str | bytes:
        message = await self._open().receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            return message.data  # type: ignore[no-any-return]
        raise Disconnected(self._open().close_code)

    async def send_text(self, text: str) -> None:
        try:
            await self._open().send_str(text)
        except (ConnectionError, RuntimeError) as error:
            raise Disconnected() from error

    @property
    def subprotocols(self) -> Sequence[str]:
        return [each.strip() for each in self._request.headers.get("Sec-WebSocket-Protocol", "").split(",")]

    @property
    def client(self) -> str | None:
        return self._request.remote

    def _open(self) -> web.WebSocketResponse:
        if self._socket is None:
            raise RuntimeError("accept() was not called")
        return self._socket

    @property
    def response(self) -> web.StreamResponse:
        """What the route has to return when the client has been served."""
        return self._socket if self._socket is not None else web.Response(status=500)
