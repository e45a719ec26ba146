"""A chat on Starlette: messages come in by POST, and go out by subscription.

uvicorn app:app
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from subcast import EventBusConfig, SubscriptionManager
from subcast.integrations.starlette import create_subscription_app

HERE = Path(__file__).parent

manager = SubscriptionManager(EventBusConfig.memory(), module=HERE / "resolvers.py")


async def send(request: Request) -> Response:
    try:
        message = await request.json()
    except ValueError:
        return Response("the body is not JSON", status_code=400)
    await manager.publish_event("messageSent", "rooms", message)
    return Response(status_code=202)


async def page(request: Request) -> Response:
    return FileResponse(HERE / "index.html")


routes = [Route("/", page), Route("/messages", send, methods=["POST"])]
app = create_subscription_app(Starlette(routes=routes), manager)
