"""Resolvers that leave traces wherever Python keeps something, and look for those of others."""

import asyncio
import builtins
import collections
import functools
import gc
import json
import logging
import os
import re
import string
import sys
import time
import types

from subcast_guest import Context, GraphQLError, current_event, subscription

CALLS = 0
GLOBAL = []
HOARD = []


class Shelf:
    attribute = ""


class Meta(type):
    seen = ""


@functools.cache
def cached(key):
    return []


def default(argument=[]):  # noqa: B006
    return argument


def generator():
    kept = ""
    while True:
        kept = (yield kept) or kept


GENERATOR = generator()
next(GENERATOR)


def closure():
    kept = [""]

    def inner(secret=None):
        if secret:
            kept[0] = secret
        return kept[0]

    return inner


CLOSURE = closure()


def leave(secret: str) -> None:
    """Writes the secret wherever the next call could find it."""
    GLOBAL.append(secret)
    cached("key").append(secret)
    default().append(secret)
    GENERATOR.send(secret)
    CLOSURE(secret)
    Shelf.attribute = secret
    Meta.seen = secret
    leave.secret = secret
    builtins.secret = secret
    json.secret = secret
    json.dumps.secret = secret
    string.ascii_letters += secret
    collections.ChainMap.__doc__ = secret
    os.environ["SECRET"] = secret
    logging.getLogger("secret").name = secret
    sys.modules["secret_module"] = types.SimpleNamespace(secret=secret)
    sys.path.append(secret)
    sys.setrecursionlimit(500 + int(secret.rsplit("-", 1)[1]))
    original = json.loads

    def loads(text, *arguments, **keywords):
        value = original(text, *arguments, **keywords)
        return value

    loads.secret = secret
    json.loads = loads


def traces() -> list[str]:
    """Whatever an earlier call has left, with the place where it was found."""
    places = {
        "global": GLOBAL,
        "cache": cached("key"),
        "default": default(),
        "generator": GENERATOR.send(None),
        "closure": CLOSURE(),
        "class": Shelf.attribute,
        "metaclass": Meta.seen,
        "function": getattr(leave, "secret", ""),
        "builtins": getattr(builtins, "secret", ""),
        "module": getattr(json, "secret", ""),
        "library function": getattr(json.dumps, "secret", ""),
        "constant": string.ascii_letters[52:],
        "docstring": [text for text in [collections.ChainMap.__doc__] if text and text.startswith("secret-")],
        "environment": os.environ.get("SECRET", ""),
        "logger": [name for name in [logging.getLogger("secret").name] if name != "secret"],
        "sys.modules": getattr(sys.modules.get("secret_module"), "secret", ""),
        "sys.path": [path for path in sys.path if path.startswith("secret-")],
        "patched function": getattr(json.loads, "secret", ""),
        "recursion limit": [] if sys.getrecursionlimit() >= 900 else [str(sys.getrecursionlimit())],
    }
    return [f"{place}: {kept}" for place, kept in places.items() if kept]


def visit(secret: str) -> dict:
    global CALLS
    CALLS += 1
    found = traces()
    leave(secret)
    return {"traces": found, "calls": CALLS}


@subscription("keeps", channel="secrets", events=["visit"])
def keeps(event: dict, variables: dict, context: Context) -> dict:
    return visit(f"secret-{context.claims.get('tenant_id')}-{event['seq']}")


@subscription("finds", channel="secrets", events=["visit"])
def finds(event: dict, variables: dict) -> dict:
    """Sees nothing of who asks: for all subscribers with equal rights it is one cohort, unless tenants are isolated."""
    global CALLS
    CALLS += 1
    return {"traces": traces(), "calls": CALLS}


@subscription("hoards", channel="hoard")
def hoards(event: dict, variables: dict) -> dict:
    HOARD.append(bytes(event["mib"] << 20))
    return {"seq": len(HOARD)}


@subscription("counts", channel="calls")
def counts(event: dict, variables: dict) -> dict:
    global CALLS
    CALLS += 1
    return {"seq": CALLS}


@subscription("dawdles", channel="dawdling")
def dawdles(event: dict, variables: dict, context: Context) -> dict:
    """Sleeps for as long as the event says for this tenant."""
    time.sleep(event["seconds"].get(context.claims.get("tenant_id"), 0))
    return {"seq": event["seq"]}


@subscription("works", channel="work")
def works(event: dict, variables: dict) -> dict:
    """Computes until its time is up."""
    while True:
        pass


@subscription("ticks", channel="ticks")
def ticks(event: dict, variables: dict) -> dict:
    step, odd, seen = event["step"], 0, set()
    end = time.monotonic_ns() + 20_000_000
    while (now := time.monotonic_ns()) < end:
        odd += now % step != 0
        odd += time.time_ns() % step != 0
        odd += time.perf_counter_ns() % step != 0
        seen.add(now)
    before = time.monotonic()
    time.sleep(0.03)
    slept = time.monotonic() - before
    return {"odd": odd, "steps": len(seen), "resolution": time.clock_getres(time.CLOCK_MONOTONIC), "slept": slept}


@subscription("fails", channel="failing")
def fails(event: dict, variables: dict) -> dict:
    """Loops, unless the event says that it is mended."""
    while not event.get("mended"):
        pass
    return {"seq": 1}


def lasting() -> set[str]:
    """Secrets in any text that some object holds, wherever it is: in globals, tasks, frames, errors, the SDK."""
    found: set[str] = set()
    seen: set[int] = set()
    ahead: list[object] = gc.get_objects()
    while ahead:
        each = ahead.pop()
        if type(each) is str:
            found.update(re.findall(r"secret-of-\w+", each))
        elif id(each) not in seen and each is not seen and each is not ahead:
            seen.add(id(each))
            ahead.extend(gc.get_referents(each))
    return found


async def sleeper(context: Context) -> None:
    await asyncio.sleep(3_600)


@subscription("uses", channel="uses")
async def uses(event: dict, variables: dict, context: Context) -> dict:
    """What the host handed to it is part of its frame, its task, its error or its log when it ends."""
    match event["way"]:
        case "returns":
            print(current_event(), context)
        case "raises":
            raise ValueError(context)
        case "raises for the client":
            raise GraphQLError(f"{context} and {event}", extensions={"context": str(context)})
        case "leaves a task":
            context.claims["task"] = asyncio.get_running_loop().create_task(sleeper(context))
        case "leaves a timer":
            asyncio.get_running_loop().call_later(3_600, print, context, event)
        case "waits for ever":
            await asyncio.get_running_loop().create_future()
        case "makes a circle":
            event["event"], context.claims["context"] = event, context
        case "logs":
            logging.getLogger("uses").exception("%s", context, extra={"context": context})
        case "keeps":
            GLOBAL.append((event, context))
    return {"traces": [], "calls": 0}


@subscription("searches", channel="searches")
def searches(event: dict, variables: dict, context: Context) -> dict:
    gc.collect()
    own = {event["secret"], context.claims["tenant_id"]}
    return {"traces": sorted(lasting() - own), "calls": 0}
