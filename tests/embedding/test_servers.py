"""Servers as people start them: each on its command line, in processes of its own."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bounds import PATIENCE, play
from support import HERE, PATH, Client

COUNTED = "subscription { counted { seq } }"
UNWANTED = re.compile(r"Task was destroyed|never awaited|thread 'subcast\S*'.* panicked|PanicException")

UVICORN = ["uvicorn", "application:app", "--log-level=warning", "--port={port}"]
HYPERCORN = ["hypercorn", "application:app", "--log-level=warning", "--bind=127.0.0.1:{port}"]
GRANIAN = ["granian", "application:app", "--interface=asgi", "--log-level=warning", "--port={port}"]
GUNICORN = [
    "gunicorn",
    "application:app",
    "--log-level=warning",
    "--bind=127.0.0.1:{port}",
    "--worker-tmp-dir=/dev/shm",
]
GUNICORN += ["--worker-class=uvicorn_worker.UvicornWorker"]


class Server:
    """A server that was started by its command, and what it has said."""

    def __init__(self, command: list[str], folder: Path = HERE, **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        words = [word.format(port=self.port) for word in command]
        paths = os.pathsep.join([str(folder), str(HERE)])
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-m", *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONWARNINGS": "default"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A group of its own, so that none of it can outlive the test.
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{PATH}"

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def wait_until_it_says(self, version: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                if self.ask("/version") == version:
                    return
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it as an operator does; returns its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), "a process of the server lives on"
        return status

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), "a process of the server lives on"

    def complaints(self) -> list[str]:
        """What it has said that it should not, and is ours: servers have complaints of their own when they end."""
        traces = self.said.split("Traceback (most recent call last)")[1:]
        ours = [trace for trace in traces if "/subcast/" in trace]
        return ours + [line for line in self.lines if UNWANTED.search(line)]

    def _read(self) -> None:
        """Ends when the last process of the server has."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            self.lines += (line.rstrip() for line in lines)


@contextlib.contextmanager
def started(command: list[str], *arguments: str, **options: Any) -> Iterator[Server]:
    server = Server([*command, *arguments], **options)
    try:
        yield server
    finally:
        server.kill()


async def subscribed(server: Server) -> Client:
    client = await Client.connect(server.url)
    await client.subscribe("1", COUNTED)
    return client


async def publishers_of(client: Client) -> set[int]:
    """Of all the events that the client has got, and it has got one."""
    found = {(await client.next())["data"]["counted"]["seq"]}
    await client.send({"type": "ping"})
    while (message := await client.receive())["type"] != "pong":
        found.add(message["payload"]["data"]["counted"]["seq"])
    return found


async def serves(server: Server, workers: int) -> list[Client]:
    """Each worker answers its own subscribers, and no others. The clients are still connected."""
    async with asyncio.timeout(PATIENCE):
        clients: list[Client] = []
        processes: set[int] = set()
        while len(processes) < workers:
            clients += await asyncio.gather(*(subscribed(server) for _ in range(8)))
            published: set[int] = set()
            while len(published) < workers:
                asked = (asyncio.to_thread(server.ask, "/publish", "POST") for _ in range(4))
                published |= set(await asyncio.gather(*asked))
            processes = set()
            for client in clients:
                found = await publishers_of(client)
                assert len(found) == 1, "an event came from another worker"
                processes |= found
        assert processes == published
        return clients


SERVERS = {
    "uvicorn": ([*UVICORN], 1),
    "uvicorn, 2 workers": ([*UVICORN, "--workers=2"], 2),
    "gunicorn": ([*GUNICORN], 1),
    "gunicorn, 2 workers": ([*GUNICORN, "--workers=2"], 2),
    "gunicorn, preloaded": ([*GUNICORN, "--workers=2", "--preload"], 2),
    "hypercorn": ([*HYPERCORN], 1),
    "hypercorn, uvloop": ([*HYPERCORN, "--worker-class=uvloop"], 1),
    "hypercorn, 2 workers": ([*HYPERCORN, "--workers=2"], 2),
    "granian, asyncio": ([*GRANIAN, "--loop=asyncio"], 1),
    "granian, uvloop": ([*GRANIAN, "--loop=uvloop"], 1),
    "granian, rloop": ([*GRANIAN, "--loop=rloop"], 1),
    "granian, 2 workers": ([*GRANIAN, "--loop=asyncio", "--workers=2"], 2),
}


@pytest.mark.parametrize("name", SERVERS)
def test_it_serves_and_ends(name: str) -> None:
    command, workers = SERVERS[name]
    with started(command) as server:
        server.wait_until_it_says(1)

        async def scenario() -> None:
            clients = await serves(server, workers)
            status = await asyncio.to_thread(server.end)
            codes = {(await client.closed())[0] for client in clients}
            # Granian cuts most connections off before it tells the application that all is over.
            assert codes <= ({1006, 1012} if name.startswith("granian") else {1012})
            # uvicorn ends by the signal once it has shut down.
            assert status == (-signal.SIGTERM if name == "uvicorn" else 0), server.said

        play(scenario())
        assert server.complaints() == []
        assert (f"SubcastWarning: this server has {workers} workers" in server.said) == (workers > 1), server.said


def test_workers_that_were_forked_from_a_running_manager_are_told() -> None:
    with started([*GUNICORN, "--workers=1", "--preload"], START_EARLY="1") as server:
        # Its master gives up when a worker cannot start. A second one may make it stumble meanwhile, and end with 1.
        assert server.process.wait(PATIENCE) == 3
        server.end()
        assert "start the manager after the fork (in gunicorn, without --preload)" in server.said


def test_uvicorn_reloads_the_application(tmp_path: Path) -> None:
    application = tmp_path / "application.py"
    source = (HERE / "application.py").read_text()
    application.write_text(source)
    with started([*UVICORN, "--reload", f"--reload-dir={tmp_path}"], folder=tmp_path) as server:
        server.wait_until_it_says(1)

        async def scenario() -> None:
            processes = []
            for version in range(1, 4):
                client = await subscribed(server)
                processes.append(await asyncio.to_thread(server.ask, "/publish", "POST"))
                assert await publishers_of(client) == {processes[-1]}
                assert source.count("VERSION = 1\n") == 1
                application.write_text(source.replace("VERSION = 1\n", f"VERSION = {version + 1}\n"))
                assert (await client.closed())[0] == 1012
                await asyncio.to_thread(server.wait_until_it_says, version + 1)
                # Neither it nor a thread of it is left.
                assert not Path(f"/proc/{processes[-1]}").exists()
            assert len(set(processes)) == 3

        play(scenario())
        assert server.end() in (0, -signal.SIGTERM)
        assert server.complaints() == []
