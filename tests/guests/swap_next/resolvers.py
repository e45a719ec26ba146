"""What follows the module `swap`: one field less, one more, and one with another argument."""

from subcast_guest import subscription

VERSION = "version-next"


@subscription("tick", channel="ticks", match={"id": "id"})
def tick(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"], "version": VERSION}


@subscription("slow", channel="slow")
def slow(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"], "version": VERSION}


@subscription("guarded", channel="ticks", events=["tick"], where="event.data.seq >= 1000 && event.data.seq < 2000")
def guarded(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"], "version": VERSION}


@subscription("added", channel="ticks", events=["tick"])
def added(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"], "version": VERSION}
