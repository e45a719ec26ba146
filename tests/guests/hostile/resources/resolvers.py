"""Hostile resolvers that take more than they may have: computing time, memory, stack, output, log.

What each tries and what stops it is the table in `tests/it/hostile_guests.rs`.
"""

import builtins
import decimal
import gc
import itertools
import json
import logging
import os
import re
import sys
import time
import unicodedata
import warnings
from collections.abc import Callable
from typing import Any

from wit_world.imports import log as host_log

from subcast_guest import subscription

Resolver = Callable[[dict, dict], Any]


def attack(function: Resolver) -> Resolver:
    """A field by the function's name, in camel case, on the channel of all attacks."""
    first, *rest = function.__name__.split("_")
    return subscription(first + "".join(map(str.capitalize, rest)), channel="attacks")(function)


@attack
def fine(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"]}


# --- computing time ---


@attack
def loops_for_ever(event: dict, variables: dict) -> dict:
    while True:
        pass


@attack
def loops_in_c(event: dict, variables: dict) -> dict:
    return {"seq": max(itertools.repeat(1))}


@attack
def sums(event: dict, variables: dict) -> dict:
    return {"seq": sum(range(10**12))}


@attack
def backtracks(event: dict, variables: dict) -> dict:
    return {"seq": int(re.match(r"(a+)+$", "a" * 60 + "b") is None)}


@attack
def multiplies(event: dict, variables: dict) -> dict:
    return {"seq": (3 ** (10**8)) % 7}


@attack
def parses_digits(event: dict, variables: dict) -> dict:
    sys.set_int_max_str_digits(0)
    return {"seq": int("9" * 10**6) % 7}


@attack
def parses_digits_politely(event: dict, variables: dict) -> dict:
    sys.set_int_max_str_digits(4300)
    return {"seq": int("9" * 10**6)}


@attack
def parses_float(event: dict, variables: dict) -> dict:
    return {"seq": 1, "told": float("9" * 10**6)}


@attack
def divides_decimals(event: dict, variables: dict) -> dict:
    with decimal.localcontext() as context:
        context.prec = 10**6
        return {"seq": 1, "told": str(decimal.Decimal(2) ** decimal.Decimal("0.3"))}


@attack
def floods_hashes(event: dict, variables: dict) -> dict:
    # Hashes of integers are remainders of this.
    return {"seq": len({number * sys.hash_info.modulus: None for number in range(10**6)})}


@attack
def compares_for_ever(event: dict, variables: dict) -> dict:
    class Spiteful:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            while True:
                pass

    return {"seq": len({Spiteful(), Spiteful()})}


class Undying:
    def __del__(self) -> None:
        while True:
            pass


@attack
def refuses_to_die(event: dict, variables: dict) -> dict:
    Undying()
    return {"seq": 1}


@attack
def refuses_to_be_collected(event: dict, variables: dict) -> dict:
    first, second = Undying(), Undying()
    first.other, second.other = second, first
    del first, second
    gc.collect()
    return {"seq": 1}


@attack
def traces(event: dict, variables: dict) -> dict:
    def tracer(*_: object) -> None:
        while True:
            pass

    sys.setprofile(tracer)
    return {"seq": len(str(event))}


@attack
def asks_for_the_time(event: dict, variables: dict) -> dict:
    while True:
        time.monotonic()


@attack
def asks_for_randomness(event: dict, variables: dict) -> dict:
    while True:
        os.urandom(1 << 20)


@attack
def sleeps_for_an_hour(event: dict, variables: dict) -> dict:
    time.sleep(3600)
    return {"seq": 1}


@attack
def naps(event: dict, variables: dict) -> dict:
    while True:
        time.sleep(0.001)


# --- memory ---


@attack
def hoards_lists(event: dict, variables: dict) -> dict:
    hoard: list[list[None]] = []
    while True:
        hoard.append([None] * 100_000)


@attack
def hoards_text(event: dict, variables: dict) -> dict:
    text = "x"
    while True:
        text += text


@attack
def hoards_bytes(event: dict, variables: dict) -> dict:
    return {"seq": len(bytes(500 << 20))}


@attack
def hoards_absurdly(event: dict, variables: dict) -> dict:
    return {"seq": len("a" * 2**40)}


kept: list[object] = []


@attack
def hoards_between_calls(event: dict, variables: dict) -> dict:
    while True:
        kept.append(object())


@attack
def asks_for_much_randomness(event: dict, variables: dict) -> dict:
    return {"seq": len(os.urandom(10**8))}


@attack
def pads(event: dict, variables: dict) -> dict:
    return {"seq": len(f"{1:>10000000000}")}


@attack
def normalizes(event: dict, variables: dict) -> dict:
    # One character that becomes 18.
    return {"seq": len(unicodedata.normalize("NFKD", "\ufdfa" * 4_000_000))}


# --- stack ---


@attack
def recurses_deeply(event: dict, variables: dict) -> dict:
    return recurses_deeply(event, variables)


@attack
def recurses_without_limit(event: dict, variables: dict) -> dict:
    sys.setrecursionlimit(10**9)

    class Deep:
        def __repr__(self) -> str:
            return repr(self)

    return {"seq": len(repr(Deep()))}


@attack
def parses_deep_json(event: dict, variables: dict) -> dict:
    return {"seq": 1, "told": json.loads("[" * 10**6)}


@attack
def parses_deep_code(event: dict, variables: dict) -> dict:
    return {"seq": eval("-" * 10**6 + "1")}


# --- output ---


@attack
def returns_deep(event: dict, variables: dict) -> dict:
    value: list = []
    for _ in range(50_000):
        value = [value]
    return {"seq": 1, "told": value}


@attack
def returns_text(event: dict, variables: dict) -> dict:
    return {"seq": 1, "told": "x" * 40_000_000}


@attack
def returns_many(event: dict, variables: dict) -> dict:
    return {"seq": 1, "told": [1] * 2_000_000}


@attack
def returns_shared(event: dict, variables: dict) -> dict:
    # 2 ** 60 leaves, in a few hundred bytes of memory.
    value: list = [1]
    for _ in range(60):
        value = [value, value]
    return {"seq": 1, "told": value}


# --- the log ---


@attack
def prints_a_million_lines(event: dict, variables: dict) -> dict:
    for number in range(10**6):
        print("a line of the flood", number)
    return {"seq": 1}


@attack
def prints_nothing_for_ever(event: dict, variables: dict) -> dict:
    # Lines that hold no byte.
    while True:
        sys.stdout.write("\n" * 1000)


@attack
def prints_without_end(event: dict, variables: dict) -> dict:
    while True:
        sys.stdout.write("x" * (1 << 20))


@attack
def complains(event: dict, variables: dict) -> dict:
    warnings.simplefilter("always")
    for _ in range(10**6):
        warnings.warn("a line of the flood", stacklevel=1)
        sys.stderr.write("a line of the flood\n")
    return {"seq": 1}


@attack
def logs_a_million_lines(event: dict, variables: dict) -> dict:
    logger = logging.getLogger("flood")
    for number in range(10**6):
        logger.error("a line of the flood %d", number, extra={"more": "x" * 1000})
    return {"seq": 1}


@attack
def logs_directly(event: dict, variables: dict) -> dict:
    for _ in range(10**6):
        host_log.write(host_log.Level.ERROR, "a line of the flood", None)
    return {"seq": 1}


@attack
def logs_much_at_once(event: dict, variables: dict) -> dict:
    host_log.write(host_log.Level.ERROR, "x" * 20_000_000, None)
    return {"seq": 1}


# --- what spoils the module itself: its next instance is as good as new ---


@attack
def spoils_builtins(event: dict, variables: dict) -> dict:
    builtins.len = builtins.type = builtins.isinstance = lambda *_: 1 / 0  # type: ignore[assignment]
    return {"seq": 1}
