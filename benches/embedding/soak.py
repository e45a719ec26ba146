"""Does anything get lost, out of order, or left in memory over time? Through uvicorn.

1,000 subscriptions on 200 connections, and a steady stream of numbered events for all of them.

    python benches/embedding/soak.py [--seconds 60] [--connections 200] [--subscriptions 5] [--rate 5]

Prints what was delivered and the server's memory; exits with 1 if any subscription missed an event, got one twice or in
another order. The module is that of `tests/guests/engine`.
"""

import argparse
import asyncio
from collections import defaultdict

import paced


async def soak(options: argparse.Namespace) -> int:
    """The number of deliveries that were not the next one of their subscription, or never came."""
    expected: defaultdict[tuple[int, str], int] = defaultdict(int)
    wrong = 0

    def received(connection: int, operation: str, data: paced.Stamped) -> None:
        nonlocal wrong
        wrong += data["seq"] != expected[connection, operation]
        expected[connection, operation] = data["seq"] + 1

    async with paced.server() as server:
        subscribers = await paced.subscribe(server, options.connections, options.subscriptions, received)
        warm = await server.publish(options.rate, 1)
        await subscribers.wait_for(warm)
        before = server.memory()
        events = warm + await server.publish(options.rate, options.seconds)
        await subscribers.wait_for(events)
        after = server.memory()
        await subscribers.close()
    total = options.connections * options.subscriptions
    missing = sum(events - seen for seen in expected.values()) + (total - len(expected)) * events
    print(f"{events} events to {total} subscriptions: {subscribers.count} of {events * total} deliveries")
    print(f"out of order {wrong}, missing {missing}")
    print(f"memory of the server {before:.1f} MiB, at the end {after:.1f} MiB")
    return int(wrong + missing)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--subscriptions", type=int, default=5, help="on each connection")
    parser.add_argument("--rate", type=int, default=5, help="events per second")
    return int(asyncio.run(soak(parser.parse_args())) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
