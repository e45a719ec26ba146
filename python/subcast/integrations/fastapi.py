"""FastAPI.

```python
app.include_router(SubscriptionRouterFactory.create(manager))
```
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, WebSocket

from subcast._handler import GraphQLTransportWSHandler
from subcast._manager import SubscriptionManager
from subcast.integrations.asgi import DEFAULT_PATH, running
from subcast.integrations.starlette import StarletteWebSocketAdapter

__all__ = ["FastAPIWebSocketAdapter", "SubscriptionRouterFactory"]


class FastAPIWebSocketAdapter(StarletteWebSocketAdapter):
    """A WebSocket of FastAPI, before it is accepted."""


class SubscriptionRouterFactory:
    """Makes routers that serve subscriptions."""

    @staticmethod
    def create(
        manager: SubscriptionManager,
        path: str = DEFAULT_PATH,
        *,
        dependencies: Sequence[Any] | None = None,
        name: str = "subscriptions",
    ) -> APIRouter:
        """A router with a WebSocket at `path`. The manager starts and stops with the application that includes it.

        `dependencies`: FastAPI's, called before the handshake; one that raises `WebSocketException` or `HTTPException`
        refuses it. A manager that is running already is neither started nor stopped.
        """

        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with running(manager):
                yield

        router = APIRouter(lifespan=lifespan)
        handler = GraphQLTransportWSHandler(manager)

        @router.websocket(path, name=name, dependencies=list(dependencies or ()))
        async def subscriptions(websocket: WebSocket) -> None:
            await handler.handle(FastAPIWebSocketAdapter(websocket))

        return router
