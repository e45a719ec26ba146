"""A module that is swapped. Tests make other versions of it by replacing texts of equal length in the component."""

import time

from subcast_guest import subscription

VERSION = "version-0000"


@subscription("tick", channel="ticks", match={"id": "id"})
def tick(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"], "version": VERSION}


@subscription("slow", channel="slow")
def slow(event: dict, variables: dict) -> dict:
    time.sleep(event["ms"] / 1000)
    return {"seq": event["seq"], "version": VERSION}


@subscription("guarded", channel="ticks", events=["tick"], where="event.data.seq >= 1000")
def guarded(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"], "version": VERSION}


@subscription("removed", channel="ticks", events=["tick"])
def removed(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"], "version": VERSION}


@subscription("tested", channel="tested", match={"id": "id"}, example={"id": "a"})
def tested(event: dict, variables: dict) -> dict:
    if VERSION == "version-bad!" or variables["id"] != event["id"]:
        raise ValueError("the example of a version that does not work")
    return {"seq": 1, "version": VERSION}
