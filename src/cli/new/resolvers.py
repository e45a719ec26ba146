"""Resolvers: plain Python, compiled by `subcast build` and run in a sandbox.

A resolver receives an event's data and the arguments of its field, and returns the
whole value of the field. The host sends each subscriber what it selected from it.
"""

from typing import Any

from subcast_guest import subscription


@subscription("userUpdated", channel="users", match={"id": "id"})
async def user_updated(event: dict[str, Any], variables: dict[str, Any]) -> Any:
    """A user has changed.

    `match`: a subscription that names an `id` gets the events with that `id` only. The
    host decides that, before any Python runs.
    """
    return {"id": event["id"], "name": event["name"], "email": event.get("email")}


@subscription(
    "orderPlaced",
    channel="orders",
    where="event.data.total >= args.minimumTotal",
)
def order_placed(event: dict[str, Any], variables: dict[str, Any]) -> Any:
    """A large order. `where` is evaluated by the host, too."""
    return event
