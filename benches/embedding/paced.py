"""What `soak.py` and `latency.py` need: an application that publishes at a pace, and its subscribers.

`python paced.py PORT MODULE` is the application; `POST /pace?rate=R&seconds=S&first=N` publishes events that are
numbered from N and carry the moment of their publishing, and answers when the last one is out.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypedDict

import websockets
from deliveries import free_port

ROOT = Path(__file__).resolve().parents[2]
QUERY = "subscription { anything { data } }"
PATIENCE = 30.0
"""Seconds without a delivery after which the rest counts as lost."""


class Stamped(TypedDict):
    """What an event carries."""

    seq: int
    sent: int


Received = Callable[[int, str, Stamped], None]


class Server:
    """A running application."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self._process = process
        self._published = 0

    async def publish(self, rate: int, seconds: int) -> int:
        """Publishes at this pace for so long; returns the number of events."""
        url = f"http://127.0.0.1:{self.port}/pace?rate={rate}&seconds={seconds}&first={self._published}"
        request = urllib.request.Request(url, method="POST")
        answer = await asyncio.to_thread(urllib.request.urlopen, request)
        answer.close()
        self._published += rate * seconds
        return rate * seconds

    def memory(self) -> float:
        """MiB that are resident."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self._process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024


class Subscribers:
    """Connections that read."""

    def __init__(self) -> None:
        self.count = 0
        self.wanted = 0
        self.sockets: list[Any] = []
        self.readers: list[asyncio.Task[None]] = []

    async def wait_for(self, events: int) -> None:
        """Until each has so many, or nothing has come for a while."""
        before, since = -1, time.monotonic()
        while self.count < events * self.wanted and time.monotonic() - since < PATIENCE:
            if self.count != before:
                before, since = self.count, time.monotonic()
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        await asyncio.gather(*(socket.close() for socket in self.sockets))
        await asyncio.gather(*self.readers)


def engine() -> str:
    """The module; built when its sources have changed."""
    environment = os.environ | {"SUBCAST": str(Path(sys.executable).parent / "subcast")}
    command = [sys.executable, str(ROOT / "scripts/guest.py"), str(ROOT / "tests/guests/engine")]
    return subprocess.check_output(command, text=True, env=environment).strip()


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[Server]:
    port = free_port()
    process = subprocess.Popen([sys.executable, __file__, str(port), engine()])
    try:
        yield Server(port, process)
    finally:
        process.terminate()
        process.wait()


async def subscribe(server: Server, connections: int, operations: int, received: Received) -> Subscribers:
    """So many connections, with so many subscriptions each; all are live."""
    subscribers = Subscribers()
    subscribers.wanted = connections * operations
    for number in range(connections):
        socket = await _connect(f"ws://127.0.0.1:{server.port}/graphql")
        await socket.send('{"type":"connection_init"}')
        await socket.recv()
        for operation in range(operations):
            payload = {"query": QUERY}
            await socket.send(json.dumps({"id": str(operation), "type": "subscribe", "payload": payload}))
        await socket.send('{"type":"ping"}')
        assert await socket.recv() == '{"type":"pong"}'
        subscribers.sockets.append(socket)
        subscribers.readers.append(asyncio.create_task(_read(number, socket, subscribers, received)))
    return subscribers


async def _connect(url: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            subprotocols = [websockets.Subprotocol("graphql-transport-ws")]
            return await websockets.connect(url, subprotocols=subprotocols, compression=None)
        except (OSError, websockets.InvalidStatus):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _read(number: int, socket: Any, subscribers: Subscribers, received: Received) -> None:
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "next":
            received(number, message["id"], message["payload"]["data"]["anything"]["data"])
            subscribers.count += 1
        elif message["type"] == "ping":
            await socket.send('{"type":"pong"}')


def main() -> None:
    import uvicorn
    from fastapi import FastAPI

    from subcast import EventBusConfig, SubscriptionManager
    from subcast.integrations.fastapi import SubscriptionRouterFactory

    port, module = sys.argv[1:]
    manager = SubscriptionManager(EventBusConfig.memory(), module=module, config={"telemetry": {"log": "warn"}})
    app = FastAPI()
    app.include_router(SubscriptionRouterFactory.create(manager, path="/graphql"))

    @app.post("/pace")
    async def pace(rate: int, seconds: int, first: int) -> None:
        began = asyncio.get_running_loop().time()
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, began + number / rate - asyncio.get_running_loop().time()))
            event = {"seq": first + number, "sent": time.monotonic_ns()}
            await manager.publish_event("any", "any", event)

    uvicorn.run(app, port=int(port), log_level="error", ws="websockets-sansio", ws_per_message_deflate=False)


if __name__ == "__main__":
    main()
