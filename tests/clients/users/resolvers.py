"""The module that the client tests subscribe to."""

from typing import Any

from subcast_guest import Completed, GraphQLError, subscription


@subscription("userUpdated", channel="users", match={"id": "id"})
async def user_updated(event: dict[str, Any], variables: dict[str, Any]) -> Any:
    """The whole user; the host selects from it."""
    return event


@subscription("countdown", channel="numbers")
def countdown(event: dict[str, Any], variables: dict[str, Any]) -> Any:
    """Ends the stream with its last value."""
    return Completed(0) if event["number"] == 0 else event["number"]


@subscription("payment", channel="payments")
def payment(event: dict[str, Any], variables: dict[str, Any]) -> Any:
    """An error that the client may read."""
    if event["amount"] < 0:
        raise GraphQLError("the amount is negative", code="NEGATIVE")
    return event["amount"]
