"""Publish real stock prices as events: `python feed.py --url http://127.0.0.1:8000`.

The prices are monthly closes of five stocks, 2000 to 2010. They are read from a file
inside the installed package `vega_datasets`; nothing is downloaded. After the last
month the feed starts again at the first.

Each month is one request: a batch of NDJSON lines, one event a line. Event ids are
unique, and a batch that could not be delivered is sent again with the same ids, so
that the host can recognize what it had already accepted.
"""

import argparse
import csv
import http.client
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SOURCE = "/examples/market/feed"
"""Says in each event where it comes from."""

Event = dict[str, Any]


@dataclass(frozen=True)
class Quote:
    """What a stock cost on a day, and before. Prices in dollars."""

    symbol: str
    day: date
    price: float
    previous: float | None


def stocks_csv() -> Path:
    """The file with the prices, in the package `vega_datasets`.

    The package is located, not imported: importing it would load pandas.
    """
    package = importlib.util.find_spec("vega_datasets")
    if package is None or not package.submodule_search_locations:
        sys.exit("vega_datasets is not installed; `pip install vega_datasets` does it")
    return Path(package.submodule_search_locations[0], "_data", "stocks.csv")


def months(path: Path) -> list[list[Quote]]:
    """All quotes of `path`, grouped by month, oldest first."""
    by_day: dict[date, list[Quote]] = {}
    latest: dict[str, float] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            symbol, price = row["symbol"], float(row["price"])
            day = datetime.strptime(row["date"], "%b %d %Y").date()
            quote = Quote(symbol, day, price, latest.get(symbol))
            by_day.setdefault(day, []).append(quote)
            latest[symbol] = price
    return [by_day[day] for day in sorted(by_day)]


def events(month: list[Quote]) -> Iterator[Event]:
    """The events of one month: a price for each stock, then the whole market."""
    for quote in month:
        data = {
            "symbol": quote.symbol,
            "date": quote.day.isoformat(),
            "price": quote.price,
            "previous": quote.previous,
        }
        yield {"channel": "prices", "type": "priceChanged", "data": data}

    known = [(quote, quote.previous) for quote in month if quote.previous is not None]
    if known:
        moves = [abs(quote.price / before - 1) * 100 for quote, before in known]
        data = {
            "date": month[0].day.isoformat(),
            "largestMove": round(max(moves), 2),
            "quotes": [{"symbol": quote.symbol, "price": quote.price, "previous": before} for quote, before in known],
        }
        yield {"channel": "market", "type": "marketMoved", "data": data}


def credential(url: str) -> str | None:
    """The token in SUBCAST_PUBLISH_TOKEN, or what a host of this user on this machine has left for its commands."""
    if configured := os.environ.get("SUBCAST_PUBLISH_TOKEN"):
        return configured
    command = [os.environ.get("SUBCAST", "subcast"), "token", url]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None


class Publisher:
    """Sends events to `POST /events` over one connection that is kept open.

    `credential` returns the token to show, if any. It is asked again when the host refuses one:
    a host that draws its own has another one after each start.
    """

    def __init__(self, url: str, credential: Callable[[], str | None]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            sys.exit(f"{url}: expected http://HOST:PORT")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=10)
        self._credential = credential
        self._headers = {"Content-Type": "application/x-ndjson"}
        self._authorize()
        self._run = uuid.uuid4().hex
        self._numbers = itertools.count(1)

    def _authorize(self) -> bool:
        """Show the credential from now on; whether it is another one than before."""
        before = self._headers.pop("Authorization", None)
        if token := self._credential():
            self._headers["Authorization"] = f"Bearer {token}"
        return self._headers.get("Authorization") != before

    def publish(self, batch: list[Event]) -> int:
        """Publish all of `batch`, and return how many events the host accepted.

        Raises `ConnectionError` when the host stays away for half a minute, and
        `ValueError` when it refuses the batch.
        """
        lines = [
            json.dumps(event | {"id": f"{self._run}-{number}", "source": SOURCE})
            for event, number in zip(batch, self._numbers, strict=False)
        ]
        body = "\n".join(lines).encode()
        give_up = time.monotonic() + 30
        pause = 0.1
        while True:
            try:
                self._connection.request("POST", "/events", body, self._headers)
                response = self._connection.getresponse()
                answer = response.read().decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if time.monotonic() > give_up:
                    raise ConnectionError(f"the host does not answer: {error}") from error
            else:
                if response.status == 202:
                    return int(json.loads(answer)["accepted"])
                if response.status == 401 and self._authorize():
                    continue
                if response.status != 503:
                    raise ValueError(f"refused with {response.status}: {answer}")
                if time.monotonic() > give_up:
                    raise ConnectionError("the host has been overloaded for too long")
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


def main() -> None:
    """Publish month after month, at a bounded rate, until interrupted."""
    parser = argparse.ArgumentParser(description="Publish stock prices to a host.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--rate", type=float, default=2.0, help="months a second (default: 2)")
    arguments = parser.parse_args()
    if not 0 < arguments.rate <= 1000:
        parser.error("--rate is more than 0, and at most 1000")

    batches = [list(events(month)) for month in months(stocks_csv())]
    publisher = Publisher(arguments.url, lambda: credential(arguments.url))
    due = time.monotonic()
    for batch in itertools.cycle(batches):
        publisher.publish(batch)
        due += 1 / arguments.rate
        late = time.monotonic() - due
        if late > 0:
            due += late  # never catch up in a burst: the rate is an upper bound
        else:
            time.sleep(-late)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except (ConnectionError, ValueError) as error:
        sys.exit(f"failed to publish: {error}")
