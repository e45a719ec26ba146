"""What does one delivery cost, embedded in FastAPI on uvicorn? Beside the least it can cost, and beside Strawberry.

100 connections with one subscription each, every event for all of them, one server after the other in turns.

    python benches/embedding/deliveries.py MODULE [--rounds 5] [--events 2000]

Per delivery: microseconds of the server's CPU time, and of wall time; medians of the rounds. The environment needs the
wheel, fastapi, uvicorn, websockets and strawberry-graphql.
"""

import argparse
import json
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SERVERS = Path(__file__).with_name("servers.py")
CONNECTIONS = 100
QUERY = "subscription { userUpdated { id name } }"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def frame(text: str) -> bytes:
    """A masked text frame, with a mask of zeros."""
    body = text.encode()
    size = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0x80 | 126]) + len(body).to_bytes(2)
    return b"\x81" + size + bytes(4) + body


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    while b"\r\n\r\n" not in client.recv(4096):
        pass
    client.sendall(frame('{"type":"connection_init"}'))
    client.recv(4096)
    client.sendall(frame(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": QUERY}})))
    return client


class Subscribers:
    """Count results by their bytes: all are equally long."""

    def __init__(self, port: int) -> None:
        self.selector = selectors.DefaultSelector()
        for _ in range(CONNECTIONS):
            client = connect(port)
            client.setblocking(False)
            self.selector.register(client, selectors.EVENT_READ)

    def count(self, wanted: int) -> None:
        """Read until so many results have come in all."""
        size, left = 0, 1
        while left > 0:
            ready = self.selector.select(30)
            if not ready:
                raise TimeoutError("nothing comes any more: does the module answer `userUpdated { id name }`?")
            for key, _ in ready:
                received = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                if size == 0:
                    size = received[1] + 2 if received[1] < 126 else int.from_bytes(received[2:4]) + 4
                    left = size * wanted
                left -= len(received)

    def close(self) -> None:
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def measure(kind: str, module: str, events: int) -> tuple[float, float]:
    """Microseconds of CPU time and of wall time per delivery."""
    port = free_port()
    server = subprocess.Popen([sys.executable, SERVERS, kind, str(port), module])
    try:
        for _ in range(200):
            try:
                subscribers = Subscribers(port)
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        time.sleep(0.5)
        run(port, subscribers, 50)
        seconds, cpu = run(port, subscribers, events)
        subscribers.close()
        return cpu / (events * CONNECTIONS) * 1e6, seconds / (events * CONNECTIONS) * 1e6
    finally:
        server.terminate()
        server.wait()


def run(port: int, subscribers: Subscribers, events: int) -> tuple[float, float]:
    before, began = cpu_of(port), time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        answered = pool.submit(ask, port, events)
        subscribers.count(events * CONNECTIONS)
        seconds = time.perf_counter() - began
        answered.result()
    return seconds, cpu_of(port) - before


def ask(port: int, events: int) -> None:
    """Has so many events published; returns when that is done."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/run?events={events}", method="POST")
    with urllib.request.urlopen(request) as answer:
        answer.read()


def cpu_of(port: int) -> float:
    ask(port, 0)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0")
        if str(SERVERS).encode() in words and str(port).encode() in words:
            fields = re.sub(r"^.*\) ", "", (path.parent / "stat").read_text()).split()
            return (int(fields[11]) + int(fields[12])) / 100
    raise RuntimeError("the server is gone")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("module")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--only", nargs="*", default=["bare", "subcast", "strawberry"])
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in options.only}
    for _ in range(options.rounds):
        for kind in options.only:
            events = options.events if kind != "strawberry" else max(options.events // 10, 100)
            found[kind].append(measure(kind, options.module, events))
            print(kind, *(f"{each:.1f}" for each in found[kind][-1]), file=sys.stderr)
    print("| server | CPU time, µs per delivery | wall time, µs per delivery |")
    print("|---|---|---|")
    for kind, rounds in found.items():
        cpu, wall = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(f"| {kind} | {cpu:.1f} | {wall:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
