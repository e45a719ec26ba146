"""Resolvers for the integration tests: some behave, and some do not."""

import logging
import time

from subcast_guest import SKIP, Completed, Context, GraphQLError, current_event, subscription


@subscription("userUpdated", channel="users", match={"id": "id"})
async def user_updated(event: dict, variables: dict) -> dict:
    return event


@subscription("userTouched", channel="users", events=["userUpdated", "userTouched"], match={"id": "id"})
def user_touched(event: dict, variables: dict) -> dict:
    return event


@subscription("orderPlaced", channel="orders:{order_id}")
def order_placed(event: dict, variables: dict) -> dict:
    return event


@subscription(
    "bigOrder", channel="orders", where="event.data.total >= args.min_total && event.data.region == args.region"
)
def big_order(event: dict, variables: dict) -> dict:
    return event


@subscription("mine", channel="mine")
def mine(event: dict, variables: dict, context: Context) -> dict:
    return {"subject": context.subject, "claims": context.claims}


@subscription("vip", channel="users", events=["userUpdated"], where='claims.role == "vip"')
def vip(event: dict, variables: dict) -> dict:
    return event


@subscription("counted", channel="counts")
def counted(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"]}


@subscription("anything", channel="any", events="*")
def anything(event: dict, variables: dict) -> dict:
    envelope = current_event()
    return {"type": envelope.type, "channel": envelope.channel, "data": event}


@subscription("searched", channel="search")
def searched(event: dict, variables: dict) -> list:
    return event["results"]


@subscription("loops", channel="counts", events=["counted", "loops"])
def loops(event: dict, variables: dict) -> dict:
    while True:
        pass


@subscription("sleeps", channel="hostile")
def sleeps(event: dict, variables: dict) -> dict:
    time.sleep(60)
    return {"seq": 1}


@subscription("allocates", channel="hostile")
def allocates(event: dict, variables: dict) -> dict:
    hoard = []
    while True:
        hoard.append(bytes(1 << 20))


@subscription("recurses", channel="hostile")
def recurses(event: dict, variables: dict) -> dict:
    return recurses(event, variables)


@subscription("raises", channel="hostile")
def raises(event: dict, variables: dict) -> dict:
    raise ValueError("a secret of the resolver")


@subscription("refuses", channel="hostile")
def refuses(event: dict, variables: dict) -> dict:
    raise GraphQLError("not today", code="NOT_TODAY", extensions={"hint": 7})


@subscription("exits", channel="hostile")
def exits(event: dict, variables: dict) -> dict:
    raise SystemExit(3)


@subscription("floods", channel="hostile")
def floods(event: dict, variables: dict) -> dict:
    return {"seq": 1, "more": "x" * 50_000_000}


@subscription("prints", channel="hostile")
def prints(event: dict, variables: dict) -> dict:
    line = "x" * (1 << 20)
    for _ in range(1_000_000):
        print(line)
    logging.getLogger("prints").warning("done")
    return {"seq": 1}


@subscription("picky", channel="counts", events=["counted"])
def picky(event: dict, variables: dict) -> dict | object:
    if event["seq"] % 2:
        return SKIP
    if event["seq"] == 6:
        while True:  # the one poisonous event
            pass
    return {"seq": event["seq"]}


@subscription("ending", channel="counts", events=["counted"])
def ending(event: dict, variables: dict) -> dict | object:
    if event["seq"] == 3:
        return Completed({"seq": 3})
    return {"seq": event["seq"]}
