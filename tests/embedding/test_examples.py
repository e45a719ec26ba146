"""The examples, as a reader would start them."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from bounds import PATIENCE, play, reap, until
from support import ROOT, TARGET, Client

UVICORN = ["-m", "uvicorn", "app:app", "--log-level", "error", "--port"]
# As a reader does: with the handler of an interrupt that a terminal leaves in place, and a background job does not.
INTERRUPTIBLE = ["env", "--default-signal=INT", sys.executable]
EXAMPLES = {"fastapi": UVICORN, "starlette": UVICORN, "custom_server": ["app.py"]}


class Example:
    """A running example."""

    def __init__(self, address: str, process: subprocess.Popen[bytes]) -> None:
        self.address = address
        self._process = process

    def post(self, body: bytes) -> int:
        """The status of the answer."""
        request = urllib.request.Request(f"http://{self.address}/messages", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    def end(self) -> int:
        """End it as its reader does, by Ctrl-C; returns the exit status."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE)


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Iterator[Example]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    cache = TARGET / "embedding-cache"
    process = subprocess.Popen(
        [*INTERRUPTIBLE, *EXAMPLES[request.param], str(port)],
        cwd=ROOT / "examples" / request.param,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
    )
    address = f"127.0.0.1:{port}"
    try:

        def answers() -> bool:
            assert process.poll() is None, "the example has ended"
            try:
                with urllib.request.urlopen(f"http://{address}/", timeout=5) as page:
                    return "graphql-transport-ws" in page.read().decode()
            except OSError:
                return False

        # It builds its resolvers first.
        until("the example answers", answers, 2 * PATIENCE)
        yield Example(address, process)
    finally:
        reap(process)


def test_messages_reach_those_in_the_room(example: Example) -> None:
    async def scenario() -> None:
        url = f"ws://{example.address}/graphql/subscriptions"
        query = 'subscription { messageSent(room: "a b:c/é%") { author text } }'
        clients = [await Client.connect(url) for _ in range(2)]
        for client in clients:
            await client.subscribe("1", query)
        for room in ["elsewhere", "a b:c/é%"]:
            body = json.dumps({"room": room, "author": "ann", "text": f"hello, {room}"}).encode()
            assert await asyncio.to_thread(example.post, body) == 202
        for client in clients:
            assert await client.next() == {"data": {"messageSent": {"author": "ann", "text": "hello, a b:c/é%"}}}
        # One stays: the example ends all the same.
        await clients[0].close()
        status = asyncio.create_task(asyncio.to_thread(example.end))
        assert (await clients[1].closed())[0] == 1012
        assert await status == 0

    play(scenario())


def test_what_is_not_json_is_refused(example: Example) -> None:
    # FastAPI has its own answer.
    for body in (b"{", b"", b"\xff"):
        assert example.post(body) in (400, 422), body


def test_the_examples_share_their_resolvers() -> None:
    """They are about servers. Equal sources are built once."""
    folders = [ROOT / "examples" / name for name in [*EXAMPLES, "beside_strawberry"]]
    for file in ["resolvers.py", "schema.graphql", "index.html"]:
        assert len({Path(folder, file).read_text() for folder in folders}) == 1, file
