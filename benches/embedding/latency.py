"""How long from publishing to the client, at a pace that is no load? Through uvicorn.

100 connections with one subscription each, 100 events per second, every event for all of them. The event carries the
moment of its publishing; this process publishes nothing, and only reads: both are on one clock of one machine.

    python benches/embedding/latency.py [--seconds 10] [--connections 100] [--rate 100]

Prints the median, the 99th percentile and the worst, in milliseconds. The module is that of `tests/guests/engine`.
"""

import argparse
import asyncio
import time

import paced


async def measure(options: argparse.Namespace) -> list[float]:
    """Milliseconds of each delivery."""
    found: list[float] = []

    def received(connection: int, operation: str, data: paced.Stamped) -> None:
        found.append((time.monotonic_ns() - data["sent"]) / 1e6)

    async with paced.server() as server:
        subscribers = await paced.subscribe(server, options.connections, 1, received)
        await server.publish(options.rate, 1)
        await subscribers.wait_for(options.rate)
        found.clear()
        events = await server.publish(options.rate, options.seconds)
        await subscribers.wait_for(options.rate + events)
        await subscribers.close()
    return sorted(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--rate", type=int, default=100)
    found = asyncio.run(measure(parser.parse_args()))
    print(f"{len(found)} deliveries")
    for name, share in [("p50", 0.5), ("p99", 0.99), ("worst", 1.0)]:
        print(f"{name} {found[min(int(len(found) * share), len(found) - 1)]:.2f} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
