"""Resolvers for the benchmarks: as small as the mission's example."""

from subcast_guest import Context, subscription


def user(event: dict) -> dict:
    return {
        "id": event["id"],
        "name": event["name"],
        "email": event["email"],
        "ts": event["ts"],
        "seq": event["seq"],
    }


@subscription("userUpdated", channel="users", match={"id": "id"})
async def user_updated(event: dict, variables: dict) -> dict:
    return user(event)


@subscription("numbered", channel="users", events=["userUpdated", "numbered"])
async def numbered(event: dict, variables: dict) -> dict:
    return user(event)


@subscription("mine", channel="users", events=["userUpdated", "mine"])
async def mine(event: dict, variables: dict, context: Context) -> dict:
    return user(event)


@subscription("wide", channel="wide")
def wide(event: dict, variables: dict) -> dict:
    return event
