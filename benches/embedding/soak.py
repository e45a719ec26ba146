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


class Judge:
    """Counts what is not as it should be: each subscription gets 0, 1, 2, … and so on to the last event."""

    def __init__(self) -> None:
        self.wrong = 0
        self._next: defaultdict[tuple[int, str], int] = defaultdict(int)

    def take(self, subscription: tuple[int, str], number: int) -> None:
        """This has come."""
        self.wrong += number != self._next[subscription]
        self._next[subscription] = number + 1

    def missing(self, subscriptions: int, events: int) -> int:
        """How many did not come at the end."""
        return sum(events - seen for seen in self._next.values()) + (subscriptions - len(self._next)) * events


def self_test() -> None:
    """A drop, a double and an inversion are found."""

    def judged(*numbers: int) -> tuple[int, int]:
        judge = Judge()
        for number in numbers:
            judge.take((0, "0"), number)
        return judge.wrong, judge.missing(1, 4)

    assert judged(0, 1, 2, 3) == (0, 0)
    for fault in [(0, 2, 3), (0, 1, 1, 2, 3), (0, 2, 1, 3), (0, 1, 2), ()]:
        assert judged(*fault) > (0, 0), fault


async def soak(options: argparse.Namespace) -> int:
    """The number of deliveries that were not the next one of their subscription, or never came."""
    judge = Judge()

    def received(connection: int, operation: str, data: paced.Stamped) -> None:
        judge.take((connection, operation), data["seq"])

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
    missing = judge.missing(total, events)
    print(f"{events} events to {total} subscriptions: {subscribers.count} of {events * total} deliveries")
    print(f"out of order {judge.wrong}, missing {missing}")
    print(f"memory of the server {before:.1f} MiB, at the end {after:.1f} MiB")
    return int(judge.wrong + missing)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--subscriptions", type=int, default=5, help="on each connection")
    parser.add_argument("--rate", type=int, default=5, help="events per second")
    self_test()
    return int(asyncio.run(soak(parser.parse_args())) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
