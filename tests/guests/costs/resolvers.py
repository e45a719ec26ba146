"""Resolvers with arguments that can become large."""

from subcast_guest import subscription


@subscription("counted", channel="counts")
def counted(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"]}


@subscription("listed", channel="counts", events=["counted"])
def listed(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"], "size": len(variables.get("ids") or [])}
