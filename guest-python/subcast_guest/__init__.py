"""Resolvers for GraphQL subscriptions that Subcast runs in its sandbox.

    from subcast_guest import subscription

    @subscription("userUpdated", channel="users", match={"id": "id"})
    async def user_updated(event: dict, variables: dict) -> dict:
        return {"id": event["id"], "name": event["name"]}

The package has no dependencies and is importable on any Python from 3.11: a decorated
function stays the function it was, so a test calls it like any other.
"""

from subcast_guest._context import Context
from subcast_guest._errors import DefinitionError, GraphQLError
from subcast_guest._event import Event, current_event
from subcast_guest._result import SKIP, Completed
from subcast_guest._schema import schema
from subcast_guest._subscription import subscription
from subcast_guest._version import __version__

__all__ = [
    "SKIP",
    "Completed",
    "Context",
    "DefinitionError",
    "Event",
    "GraphQLError",
    "__version__",
    "current_event",
    "schema",
    "subscription",
]
