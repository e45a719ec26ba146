"""What the tests share: modules, servers in this process, and a small client."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any, Self

import uvicorn
import websockets

from subcast import EventBusConfig, SubscriptionManager

HERE = Path(__file__).resolve().parent
# Programs that tests start import this module, too.
sys.path.append(str(HERE.parent))

from bounds import INTERRUPTIBLE, PATIENCE  # noqa: E402

ROOT = HERE.parent.parent
TARGET = Path(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
CACHE = TARGET / "guests" / "cache"
PATH = "/graphql/subscriptions"


@cache
def module(guest: str) -> Path:
    """A component of `tests/guests`, built by the command line of the wheel when its sources have changed."""
    environment = os.environ | {"SUBCAST": str(Path(sys.executable).parent / "subcast")}
    # Of a Python that has componentize-py, which not every one has that the wheel is tested on.
    python = os.environ.get("SUBCAST_TEST_PYTHON", sys.executable)
    command = [python, ROOT / "scripts/guest.py", ROOT / "tests/guests" / guest]
    return Path(subprocess.check_output(command, text=True, env=environment, timeout=PATIENCE).strip())


@cache
def version(number: int) -> Path:
    """A version of the guest `swap` that says which one it is."""
    original = module("swap")
    path = original.with_name(f"{original.stem}.{number}.wasm")
    text = f"version-{number:04}".encode()
    path.write_bytes(original.read_bytes().replace(b"version-0000", text))
    return path


def manager(guest: str = "engine", config: dict[str, Any] | None = None, **keywords: Any) -> SubscriptionManager:
    settings = {"sandbox": {"cache_dir": str(CACHE)}, "telemetry": {"log": "off"}} | (config or {})
    CACHE.mkdir(parents=True, exist_ok=True, mode=0o700)
    return SubscriptionManager(EventBusConfig.memory(), modules={guest: module(guest)}, config=settings, **keywords)


@contextlib.asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncIterator[str]:
    """The application on uvicorn; the address of its subscriptions."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", loop="none", **options))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        if serving.done():
            raise RuntimeError("the application did not start")
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}{PATH}"
        finally:
            server.should_exit = True
            await asyncio.wait_for(serving, PATIENCE)


class Client:
    """A subscriber."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    @classmethod
    async def connect(cls, url: str, payload: Any = None, **options: Any) -> Self:
        client = await cls.open(url, **options)
        await client.send({"type": "connection_init", "payload": payload})
        assert (await client.receive())["type"] == "connection_ack"
        return client

    @classmethod
    async def open(cls, url: str, **options: Any) -> Self:
        subprotocols = [websockets.Subprotocol("graphql-transport-ws")]
        return cls(await websockets.connect(url, subprotocols=subprotocols, max_size=None, **options))

    async def send(self, message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def receive(self) -> Any:
        message = await asyncio.wait_for(self.socket.recv(), PATIENCE)
        assert isinstance(message, str), "a binary frame"
        return json.loads(message)

    async def subscribe(self, id: str, query: str) -> None:
        """Returns when it is subscribed, or has its answer."""
        await self.send({"id": id, "type": "subscribe", "payload": {"query": query}})
        await self.send({"type": "ping"})
        assert (await self.receive())["type"] == "pong"

    async def next(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.receive()
                if message["type"] == "next":
                    return message["payload"]
                assert message["type"] == "ping", message
                await self.send({"type": "pong"})

    async def close(self) -> None:
        await self.socket.close()

    async def closed(self) -> tuple[int, str]:
        """How the server closed."""
        # Around the whole loop: a server that does not close may go on sending for ever.
        with contextlib.suppress(websockets.ConnectionClosed):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self.socket.recv()
        return self.socket.close_code, self.socket.close_reason


def program(script: str, *flags: str) -> list[str]:
    """The command for a process of its own, in which this module is imported and every warning is an error.

    An interrupt is a `KeyboardInterrupt` there, also below a background job.
    """
    text = f"{INTERRUPTIBLE}; import sys; sys.path.insert(0, {str(HERE)!r}); from support import *\n{script}"
    return [sys.executable, "-W", "error", *flags, "-c", text]


def run(script: str, *flags: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    command = program(script, *flags)
    return subprocess.run(command, text=True, capture_output=True, timeout=PATIENCE, **options)


async def until(what: str, holds: Any) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.005)
