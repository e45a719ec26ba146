"""Any ASGI application: Starlette, FastAPI, Litestar, Quart, Django channels, or none."""

import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from subcast._adapter import Disconnected, WebSocketAdapter
from subcast._handler import GraphQLTransportWSHandler
from subcast._manager import SubscriptionManager

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

DEFAULT_PATH = "/graphql/subscriptions"


class ASGIWebSocketAdapter(WebSocketAdapter):
    """A WebSocket of the ASGI specification."""

    _gone: tuple[type[Exception], ...] = (OSError, RuntimeError)
    """What servers raise when something is sent to somebody who has left."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_connecting = True
        self._is_connected = False

    async def accept(self, subprotocol: str | None = None) -> None:
        await self._connect()
        await self._transmit({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
        self._is_connected = True

    async def receive_json(self) -> Any:
        return json.loads(await self.receive_text())

    async def receive_text(self) -> str | bytes:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._is_connected = False
            raise Disconnected(message.get("code", 1005))
        text = message.get("text")
        return text if text is not None else bytes(message["bytes"])

    async def send_json(self, data: Any) -> None:
        await self.send_text(json.dumps(data))

    async def send_bytes(self, data: bytes) -> None:
        await self.send_text(data.decode())

    async def send_text(self, text: str) -> None:
        try:
            await self._send({"type": "websocket.send", "text": text})
        except self._gone as error:
            self._is_connected = False
            raise Disconnected() from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connect()
        self._is_connected = False
        await self._transmit({"type": "websocket.close", "code": code, "reason": reason})

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self._scope["headers"]]

    @property
    def subprotocols(self) -> Sequence[str]:
        return list(self._scope.get("subprotocols") or ())

    @property
    def client(self) -> str | None:
        client = self._scope.get("client")
        return client[0] if client else None

    async def _connect(self) -> None:
        """The client's wish to connect comes first."""
        if self._is_connecting:
            self._is_connecting = False
            message = await self._receive()
            if message["type"] != "websocket.connect":
                raise Disconnected(message.get("code", 1005))

    async def _transmit(self, message: Message) -> None:
        try:
            await self._send(message)
        except self._gone as error:
            self._is_connected = False
            raise Disconnected() from error


def create_subscription_app(app: ASGIApp, manager: SubscriptionManager, path: str = DEFAULT_PATH) -> ASGIApp:
    """`app`, with subscriptions at `path` beside it. The manager starts and stops with the application.

    Takes any ASGI application and returns one. Everything that is not a WebSocket at `path` is left to `app`. A manager
    that is running already is neither started nor stopped.
    """
    handler = GraphQLTransportWSHandler(manager)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and _path_of(scope) == path:
            await handler.handle(ASGIWebSocketAdapter(scope, receive, send))
        elif scope["type"] == "lifespan":
            await _live(app, manager, scope, receive, send)
        else:
            await app(scope, receive, send)

    return application


def _path_of(scope: Scope) -> str:
    """The path below the one where the application is mounted."""
    path, root = scope["path"], scope.get("root_path", "")
    return str(path[len(root) :] if root and path.startswith(root) else path)


@contextlib.asynccontextmanager
async def running(manager: SubscriptionManager) -> Any:
    """The manager, started for as long as this lasts, unless it runs already."""
    if manager.is_running:
        yield manager
        return
    async with manager:
        yield manager


async def _live(app: ASGIApp, manager: SubscriptionManager, scope: Scope, receive: Receive, send: Send) -> None:
    """The life of both: the manager starts before the application does, and stops after it has."""
    first = await receive()
    is_ours = not manager.is_running
    if is_ours:
        try:
            await manager.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            raise

    async def tell(message: Message) -> None:
        if is_ours and message["type"].startswith("lifespan.shutdown."):
            # Before the server hears that all is over, and ends the process.
            await manager.stop()
        await send(message)

    try:
        await _live_alone(app, scope, _replayed(first, receive), tell)
    finally:
        if is_ours:
            await manager.stop()


async def _live_alone(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The application's own lifespan. One that knows none raises, and is taken for one that agrees to everything."""
    said: list[str] = []

    async def tell(message: Message) -> None:
        said.append(message["type"])
        await send(message)

    try:
        await app(scope, receive, tell)
    except Exception:
        if said:
            raise
        await send({"type": "lifespan.startup.complete"})
        while (await receive())["type"] != "lifespan.shutdown":
            pass
        await send({"type": "lifespan.shutdown.complete"})


def _replayed(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
