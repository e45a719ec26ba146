"""Is `manager.serve()`, the Rust server inside a Python process, as fast as the binary `subcast serve`?

100 connections with one subscription each, every event for all of them, published in batches to `POST /events` of
either. Each round measures both, one right after the other and in turns first, so that what the machine does besides
hits both.

    python benches/embedding/paired.py [--rounds 15] [--events 2000] [--binary target/release/subcast]

Prints deliveries per second and microseconds of CPU time per delivery: medians, and of the ratios (embedded to binary)
the median with the middle half. The module is that of `tests/guests/engine`; both must be built with the same profile.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from deliveries import CONNECTIONS, Subscribers, free_port
from paced import ROOT, engine

TARGET = Path(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
BATCH = 64
"""Events at a time: what certainly finds its place in the queue of a connection."""
PAYLOAD = {"id": "123", "name": "Alice Smith", "email": "alice@example.com"}


def measure(command: list[str], port: int, events: int) -> tuple[float, float]:
    """Deliveries per second, and microseconds of CPU time per delivery."""
    # Both publish routes are open, so that nothing but the servers is compared.
    environment = os.environ | {"SUBCAST_PUBLISH_ANONYMOUS": "true"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + 30
        while not is_ready(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it does not serve: {command}")
            time.sleep(0.02)
        subscribers = Subscribers(port)
        time.sleep(0.5)
        publish(port, subscribers, BATCH)
        before, began = cpu_of(server.pid), time.perf_counter()
        for _ in range(0, events, BATCH):
            publish(port, subscribers, BATCH)
        seconds, cpu = time.perf_counter() - began, cpu_of(server.pid) - before
        deliveries = -(-events // BATCH) * BATCH * CONNECTIONS
        subscribers.close()
        return deliveries / seconds, cpu / deliveries * 1e6
    finally:
        server.terminate()
        server.wait()


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def publish(port: int, subscribers: Subscribers, events: int) -> None:
    """Returns when everybody has them."""
    body = json.dumps([{"channel": "users", "type": "userUpdated", "data": PAYLOAD}] * events).encode()
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/events", body, headers)) as answer:
        answer.read()
    subscribers.count(events * CONNECTIONS)


def cpu_of(process: int) -> float:
    """Seconds that it has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def embedded(port: int, path: str) -> None:
    """The server that is measured beside the binary; runs until it is ended."""
    from subcast import EventBusConfig, SubscriptionManager

    async with SubscriptionManager(
        EventBusConfig.memory(), module=path, config={"telemetry": {"log": "warn"}}
    ) as manager:
        await manager.serve("127.0.0.1", port)
        await asyncio.Event().wait()


def told(name: str, pairs: list[tuple[float, float]], digits: int) -> str:
    """A row: medians of both, and of their ratios the median and the middle half."""
    ratios = [one / other for one, other in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    inside, binary = (statistics.median(each) for each in zip(*pairs, strict=True))
    return f"| {name} | {inside:.{digits}f} | {binary:.{digits}f} | {middle:.3f} | {low:.3f} to {high:.3f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--events", type=int, default=2_000)
    parser.add_argument("--binary", default=str(TARGET / "release/subcast"))
    parser.add_argument("--embedded", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.embedded:
        port, path = options.embedded
        asyncio.run(embedded(int(port), path))
        return 0
    if options.rounds < 2:
        parser.error("a middle half takes two rounds or more")
    path = engine()
    found: dict[str, list[tuple[float, float]]] = {"embedded": [], "binary": []}
    for number in range(options.rounds):
        for kind in sorted(found, reverse=number % 2 == 1):
            port = free_port()
            command = (
                [sys.executable, __file__, "--embedded", str(port), path]
                if kind == "embedded"
                else [options.binary, "serve", path, "--listen", f"127.0.0.1:{port}"]
            )
            found[kind].append(measure(command, port, options.events))
            print(kind, *(f"{each:.2f}" for each in found[kind][-1]), file=sys.stderr)
    rates, costs = ([(a[i], b[i]) for a, b in zip(*found.values(), strict=True)] for i in range(2))
    print("| | embedded | binary | ratio, median | middle half |")
    print("|---|---|---|---|---|")
    print(told("deliveries/s", rates, 0))
    print(told("CPU time, µs per delivery", costs, 2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
