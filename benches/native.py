"""The mission's example in native CPython: what the sandbox is compared with.

Does what one invocation is: parse the event's data, run the resolver, serialize its
value. Prints p50 and p99 of one call in microseconds.
"""

import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "guest-python"), str(ROOT / "benches" / "guest")]

from resolvers import user_updated  # noqa: E402

ROUNDS = 20_000
DATA = '{"email":"u7@example.com","id":"7","name":"user 7","seq":7,"ts":"0"}'


def invoke() -> str:
    coroutine = user_updated(json.loads(DATA), json.loads("{}"))
    try:
        coroutine.send(None)
    except StopIteration as end:
        return json.dumps(end.value, ensure_ascii=False, separators=(",", ":"))
    raise RuntimeError("the resolver waits for something")


def main() -> None:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        invoke()
        times.append(time.perf_counter_ns() - began)
    times = sorted(times[ROUNDS // 10 :])
    print(times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000)


if __name__ == "__main__":
    main()
