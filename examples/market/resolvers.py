"""Subscriptions on stock prices. Runs in the sandbox; `schema.graphql` lies beside it.

A resolver returns the whole value of its field. Each subscriber receives exactly what
it selected: the host does that.
"""

from typing import Any

from subcast_guest import SKIP, subscription

COMPANIES = {
    "AAPL": "Apple",
    "AMZN": "Amazon",
    "GOOG": "Google",
    "IBM": "IBM",
    "MSFT": "Microsoft",
}


@subscription("priceChanged", channel="prices", match={"symbol": "symbol"})
async def price_changed(event: dict[str, Any], variables: dict[str, Any]) -> Any:
    """One stock has a new price.

    `match`: an event visits only the subscriptions to its symbol, and those to all.
    """
    previous = event.get("previous")
    change = None if previous is None else percent(previous, event["price"])
    return {**event, "change": change}


@subscription(
    "marketMoved",
    channel="market",
    where="event.data.largestMove >= args.minimumMove",
)
def market_moved(event: dict[str, Any], variables: dict[str, Any]) -> Any:
    """All stocks at the end of a month.

    `where` is evaluated by the host: for a month that is too quiet, no Python runs.
    """
    movers = [mover(quote) for quote in event["quotes"]]
    average = round(sum(each["move"] for each in movers) / len(movers), 2)

    wanted = variables.get("direction")
    if wanted is not None:
        movers = [each for each in movers if each["direction"] == wanted]
        if not movers:
            return SKIP

    movers.sort(key=lambda each: abs(each["move"]), reverse=True)
    return {
        "date": event["date"],
        "direction": direction(average),
        "averageMove": average,
        "movers": movers,
    }


def mover(quote: dict[str, Any]) -> dict[str, Any]:
    """A `Mover` of the schema, from a quote with its previous price."""
    symbol = quote["symbol"]
    move = percent(quote["previous"], quote["price"])
    return {
        "stock": {"symbol": symbol, "company": COMPANIES.get(symbol)},
        "price": quote["price"],
        "move": move,
        "direction": direction(move),
    }


def percent(before: float, after: float) -> float:
    """The change from `before` to `after`, in per cent."""
    return round((after / before - 1) * 100, 2)


def direction(move: float) -> str:
    """The `Direction` of the schema for a move in per cent."""
    if move == 0:
        return "FLAT"
    return "UP" if move > 0 else "DOWN"
