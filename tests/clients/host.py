"""A real host for one test: the binary, on a free port, with the module in `users/`."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from bounds import PATIENCE, until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
SUBCAST = Path(os.environ.get("SUBCAST", TARGET / "debug" / "subcast"))


class Host:
    """A running host; leaving its `with` block ends it, whatever happens inside."""

    def __init__(self) -> None:
        script = ROOT / "scripts" / "guest.py"
        command = [sys.executable, str(script), str(HERE / "users")]
        self._module = subprocess.check_output(command, text=True, timeout=PATIENCE).strip()
        self.log: list[str] = []
        self.port = 0
        self._start()

    def _start(self) -> None:
        """Start the binary on `port` (0: a free one), and wait until it serves."""
        self._process = subprocess.Popen(
            [SUBCAST, "serve", self._module, "--listen", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What embeds the host has routes of its own, which take no credential: the tests publish in one way.
            env=os.environ | {"NO_COLOR": "1", "SUBCAST_PUBLISH_ANONYMOUS": "true"},
        )
        self._ports: SimpleQueue[int] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.port = self._ports.get(timeout=PATIENCE)
            until("ready", self._is_ready)
        except (Empty, TimeoutError):
            self.stop(signal.SIGKILL)
            raise AssertionError("\n".join(["not serving:", *self.log])) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, number: signal.Signals) -> int:
        """End the host with a signal, and return its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def restart(self, number: signal.Signals) -> None:
        """End the host with a signal, and start it again on the same port."""
        self.stop(number)
        self._start()

    def _read(self) -> None:
        """Read all output, so that the host never blocks on a pipe; find the port."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.log.append(line.rstrip())
                if found := re.search(r"listening.*127\.0\.0\.1:(\d+)", line):
                    self._ports.put(int(found[1]))

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def url(self) -> str:
        """Where the HTTP routes are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        """Where subscriptions are."""
        return f"ws://127.0.0.1:{self.port}/graphql"

    def publish(self, channel: str, kind: str, *data: Any) -> None:
        """Publish one event for each of `data`."""
        events = [{"channel": channel, "type": kind, "data": each} for each in data]
        request = urllib.request.Request(
            f"{self.url}/events",
            json.dumps(events).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 202

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 before it was first counted."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for value in found)

    def subscriptions(self, count: int) -> None:
        """Wait until exactly so many subscriptions are live, and receive events."""
        until(
            f"{count} live subscriptions",
            lambda: self.metric("subcast_subscriptions") == count,
        )
