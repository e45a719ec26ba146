"""A chat on aiohttp, which is not ASGI: all that it takes is the adapter beside this file.

python app.py 8000
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

from adapter import AiohttpWebSocketAdapter
from aiohttp import web

from subcast import EventBusConfig, GraphQLTransportWSHandler, SubscriptionManager

HERE = Path(__file__).parent

manager = SubscriptionManager(EventBusConfig.memory(), module=HERE / "resolvers.py")
handler = GraphQLTransportWSHandler(manager)


async def subscriptions(request: web.Request) -> web.StreamResponse:
    adapter = AiohttpWebSocketAdapter(request)
    await handler.handle(adapter)
    return adapter.response


async def send(request: web.Request) -> web.Response:
    try:
        message = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON")
    await manager.publish_event("messageSent", "rooms", message)
    return web.Response(status=202)


async def page(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(HERE / "index.html")


async def running(app: web.Application) -> AsyncIterator[None]:
    async with manager:
        yield


async def leaving(app: web.Application) -> None:
    # Before aiohttp waits for its connections: clients are told to come back.
    await manager.stop()


app = web.Application()
app.cleanup_ctx.append(running)
app.on_shutdown.append(leaving)
app.add_routes(
    [web.get("/", page), web.post("/messages", send), web.get("/graphql/subscriptions", subscriptions)],
)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
