"""The servers that `deliveries.py` compares: each sends every event to every subscriber.

`python servers.py bare|subcast|strawberry PORT MODULE`; `POST /run?events=N` publishes so many, and answers with the
seconds of CPU time that the process has used until all were sent.
"""

import asyncio
import resource
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

PAYLOAD = {"id": "123", "name": "Alice Smith", "email": "alice@example.com"}
FRAME = '{"id":"1","type":"next","payload":{"data":{"userUpdated":{"id":"123","name":"Alice Smith"}}}}'

Publish = Callable[[int], Awaitable[None]]


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def with_run(app: FastAPI, publish: Publish) -> FastAPI:
    @app.post("/run")
    async def run(events: int) -> dict[str, float]:
        before = cpu()
        await publish(events)
        return {"cpu": cpu() - before}

    return app


def bare(module: str) -> FastAPI:
    """The limit: ready text, and nothing else."""
    app, sockets = FastAPI(), set[WebSocket]()

    @app.websocket("/graphql")
    async def connect(socket: WebSocket) -> None:
        await socket.accept("graphql-transport-ws")
        await socket.receive_text()
        await socket.send_text('{"type":"connection_ack"}')
        sockets.add(socket)
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(socket)

    async def publish(events: int) -> None:
        for _ in range(events):
            for socket in list(sockets):
                await socket.send({"type": "websocket.send", "text": FRAME})
            await asyncio.sleep(0)

    return with_run(app, publish)


def subcast(module: str) -> FastAPI:
    from subcast import EventBusConfig, SubscriptionManager
    from subcast.integrations.fastapi import SubscriptionRouterFactory

    config = {"delivery": {"outbox": {"messages": 100_000, "bytes": "64MiB"}}, "telemetry": {"log": "warn"}}
    manager = SubscriptionManager(EventBusConfig.memory(), module=module, config=config)
    app = FastAPI()
    app.include_router(SubscriptionRouterFactory.create(manager, path="/graphql"))

    async def publish(events: int) -> None:
        stats = manager.stats()
        wanted = stats["deliveries"] + events * stats["subscriptions"]
        for number in range(events):
            await manager.publish_event("userUpdated", "users", PAYLOAD)
            if number % 16 == 15:
                await asyncio.sleep(0.001)
        while manager.stats()["deliveries"] < wanted:
            await asyncio.sleep(0.001)

    return with_run(app, publish)


def strawberry(module: str) -> FastAPI:
    import strawberry
    from strawberry.fastapi import GraphQLRouter

    queues: set[asyncio.Queue[dict[str, str]]] = set()

    @strawberry.type
    class User:
        id: strawberry.ID
        name: str
        email: str

    @strawberry.type
    class Query:
        ok: bool = True

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def user_updated(self) -> AsyncGenerator[User, None]:
            queue: asyncio.Queue[dict[str, str]] = asyncio.Queue()
            queues.add(queue)
            try:
                while True:
                    yield User(**await queue.get())  # type: ignore[arg-type]
            finally:
                queues.discard(queue)

    schema = strawberry.Schema(query=Query, subscription=Subscription)
    app = FastAPI()
    app.include_router(GraphQLRouter(schema), prefix="/graphql")

    async def publish(events: int) -> None:
        for _ in range(events):
            for queue in queues:
                queue.put_nowait(PAYLOAD)
            while any(not queue.empty() for queue in queues):
                await asyncio.sleep(0)

    return with_run(app, publish)


def main() -> None:
    kind, port, module = sys.argv[1:]
    app = {"bare": bare, "subcast": subcast, "strawberry": strawberry}[kind](module)
    uvicorn.run(
        app, port=int(port), log_level="error", loop="asyncio", ws="websockets-sansio", ws_per_message_deflate=False
    )


if __name__ == "__main__":
    main()
