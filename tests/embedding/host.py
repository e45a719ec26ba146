"""An application that behaves like the command `subcast serve`, so that the binary's client tests run against it.

`python host.py fastapi-uvicorn serve MODULE --listen 127.0.0.1:0`. Other commands go to the command line of the wheel.
"""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from subcast import EventBusConfig, SubscriptionManager
from subcast.__main__ import main as command_line

PATH = "/graphql"


def fastapi_app(manager: SubscriptionManager) -> Any:
    from fastapi import FastAPI, Request, Response

    from subcast.integrations.fastapi import SubscriptionRouterFactory

    app = FastAPI()
    app.include_router(SubscriptionRouterFactory.create(manager, path=PATH))

    @app.get("/readyz")
    async def ready() -> Response:
        return Response(status_code=200 if manager.is_running else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(manager.metrics(), media_type="text/plain")

    @app.post("/events", status_code=202)
    async def publish(request: Request) -> dict[str, int]:
        events = await request.json()
        await manager.publish_events(events)
        return {"accepted": len(events)}

    return app


def starlette_app(manager: SubscriptionManager) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    from subcast.integrations.starlette import create_subscription_app

    async def ready(request: Request) -> Response:
        return Response(status_code=200 if manager.is_running else 503)

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(manager.metrics())

    async def publish(request: Request) -> Response:
        events = await request.json()
        await manager.publish_events(events)
        return JSONResponse({"accepted": len(events)}, status_code=202)

    routes = [Route("/readyz", ready), Route("/metrics", metrics), Route("/events", publish, methods=["POST"])]
    return create_subscription_app(Starlette(routes=routes), manager, path=PATH)


async def uvicorn(app: Any, manager: SubscriptionManager, listener: socket.socket, stop: asyncio.Event) -> None:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", loop="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.wait((serving, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


async def hypercorn(app: Any, manager: SubscriptionManager, listener: socket.socket, stop: asyncio.Event) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    async def shutdown() -> None:
        await stop.wait()
        # Hypercorn ends connections before the lifespan: who is to be told to come back must be told now.
        await manager.stop()

    config = Config()
    # It closes it by itself.
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    await serve(app, config, shutdown_trigger=shutdown)


Serve = Callable[[Any, SubscriptionManager, socket.socket, asyncio.Event], Awaitable[None]]
KINDS: dict[str, tuple[Callable[[SubscriptionManager], Any], Serve]] = {
    "fastapi-uvicorn": (fastapi_app, uvicorn),
    "starlette-hypercorn": (starlette_app, hypercorn),
}


async def run(kind: str, module: str, address: str) -> None:
    make_app, serve = KINDS[kind]
    stop = asyncio.Event()
    # After its own shutdown uvicorn raises the signal again; here that is no reason to die of it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    host, port = address.rsplit(":", 1)
    with socket.create_server((host, int(port)), backlog=512) as listener:
        print(f"listening on http://{host}:{listener.getsockname()[1]}", flush=True)
        manager = SubscriptionManager(EventBusConfig.memory(), module=module)
        await serve(make_app(manager), manager, listener, stop)


def main() -> int:
    kind = sys.argv.pop(1)
    if sys.argv[1:2] != ["serve"]:
        return command_line()
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("module")
    parser.add_argument("--listen", default="127.0.0.1:8000")
    arguments = parser.parse_args()
    asyncio.run(run(kind, arguments.module, arguments.listen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
