"""Run the test suites repeatedly while another process keeps a core busy; tell which tests failed, and how often.

`python scripts/busy.py --rounds 10` runs all of them, `--suite it --suite python` some. A test that fails here and not
alone assumes a pace. `make test-busy` builds what is needed first. The output of failed runs is kept, below the folder
of the build. The busy process ends with this one, however that ends. Exit status: 0 if nothing failed, otherwise 1.
"""

import argparse
import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
LOGS = TARGET / "busy"
LONGEST = 2400.0
"""Seconds that one run of a suite may take; it is killed then, and counts as failed."""

BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""
"""Looks some hundred times per second whether somebody is left to be busy for."""


@dataclass(frozen=True)
class Suite:
    """A command, and how it names the tests that failed."""

    command: list[str | Path]
    failed: re.Pattern[str]
    folder: Path = ROOT


PYTEST = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
BIN = ROOT / ".venv" / "bin"
SUITES = {
    "it": Suite(
        ["cargo", "test", "--locked", "--test", "it", "--no-fail-fast"],
        re.compile(r"^test (\S+) \.\.\. FAILED$", re.MULTILINE),
    ),
    "python": Suite([BIN / "python", "-m", "pytest", "-q", "tests/python"], PYTEST),
    "clients": Suite([BIN / "python", "-m", "pytest", "-q", "tests/clients"], PYTEST),
    "node": Suite(
        ["node", "--test", "--test-reporter=tap"],
        re.compile(r"^\s*not ok \d+ - (.*)$", re.MULTILINE),
        ROOT / "tests" / "clients",
    ),
    "embedding": Suite([TARGET / "embedding" / "bin" / "python", "-m", "pytest", "-q", "tests/embedding"], PYTEST),
}


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """A core is busy meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
        assert process.poll() is None, "the busy process has ended early, so the rounds show nothing"
    finally:
        process.kill()
        process.wait()


def run(suite: Suite, log: Path) -> list[str]:
    """Run a suite once; the names of what failed. Its output is kept if anything did."""
    with log.open("w+") as output:
        # A session of its own, so that nothing of it can outlive its time.
        process = subprocess.Popen(
            suite.command,
            cwd=suite.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"},
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        names = list(dict.fromkeys(suite.failed.findall(output.read())))
    if status == 0:
        log.unlink()
        return []
    return names or [f"(the suite itself: {'it took too long' if status is None else f'status {status}'})"]


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description="Run the test suites beside a busy process.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--suite", choices=SUITES, action="append", help="all if none is given")
    arguments = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    # As if interrupted: what is under way is ended, and so is the busy process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failures: collections.Counter[str] = collections.Counter()
    done = 0
    try:
        with busy():
            for number in range(1, arguments.rounds + 1):
                for name in arguments.suite or SUITES:
                    began = time.monotonic()
                    failed = run(SUITES[name], LOGS / f"{name}-{number}.log")
                    took = time.monotonic() - began
                    print(f"round {number}: {name}: {len(failed)} failed in {took:.0f} s", *failed, flush=True)
                    failures.update(f"{name}: {test}" for test in failed)
                done = number
    except KeyboardInterrupt:
        print("interrupted")
    for test, count in failures.most_common():
        print(f"{count} of {arguments.rounds} rounds: {test}")
    print(f"{done} rounds, {len(failures)} tests failed" + (f"; see {LOGS}" if failures else ""))
    return 1 if failures or done < arguments.rounds else 0


if __name__ == "__main__":
    sys.exit(main())
