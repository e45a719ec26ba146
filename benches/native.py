"""The mission's example in native CPython: what the sandbox is compared with.

Does what one invocation is: parse the event's data, run the resolver, serialize its
value. Each line of the input is a number of calls to make; the answer is a line with p50
and p99 of one call in microseconds.
"""

import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "guest-python"), str(ROOT / "benches" / "guest")]

from resolvers import user_updated  # noqa: E402

DATA = '{"email":"u7@example.com","id":"7","name":"user 7","seq":7,"ts":"0"}'


def invoke() -> str:
    coroutine = user_updated(json.loads(DATA), json.loads("{}"))
    try:
        coroutine.send(None)
    except StopIteration as end:
        return json.dumps(end.value, ensure_ascii=False, separators=(",", ":"))
    raise RuntimeError("the resolver waits for something")


def main() -> None:
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            began = time.perf_counter_ns()
            invoke()
            times.append(time.perf_counter_ns() - began)
        times.sort()
        print(times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000, flush=True)


if __name__ == "__main__":
    main()
