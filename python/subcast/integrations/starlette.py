"""Starlette."""

from starlette.websockets import WebSocket, WebSocketDisconnect

from subcast.integrations.asgi import DEFAULT_PATH, ASGIWebSocketAdapter, create_subscription_app

__all__ = ["DEFAULT_PATH", "StarletteWebSocketAdapter", "create_subscription_app"]


class StarletteWebSocketAdapter(ASGIWebSocketAdapter):
    """A WebSocket of Starlette, before it is accepted."""

    _gone = (OSError, RuntimeError, WebSocketDisconnect)

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(websocket.scope, websocket.receive, websocket.send)
