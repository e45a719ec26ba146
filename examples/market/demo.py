"""The whole example in one command: `make demo`, or `python examples/market/demo.py`.

Builds the resolvers into a component, starts a host with it, feeds the host real
prices, subscribes with the command line client and prints the first messages. Runs
until Ctrl-C, or for DEMO_SECONDS, and leaves nothing running behind.

Environment: DEMO_SECONDS (0: until Ctrl-C), DEMO_PORT (8000), SUBCAST (the binary).
"""

import asyncio
import contextlib
import functools
import http.server
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOST = "127.0.0.1"
SUBCAST = os.environ.get("SUBCAST", str(ROOT / "target" / "debug" / "subcast"))

SHOWN = 6
"""Messages that are printed of each subscription; the rest is only counted."""

SUBSCRIPTIONS = {
    "one stock": 'subscription { priceChanged(symbol: "AAPL") { date price change } }',
    "the market": """subscription {
  marketMoved(minimumMove: 15) { date mood: direction movers { stock { company } move } }
}""",
}


class DemoError(Exception):
    """Why the demo cannot go on, in one sentence."""


def say(text: str = "") -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def check_port(port: int) -> None:
    """Raise `DemoError` if something listens on `port` already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise DemoError(
                f"port {port} of {HOST} is not free ({error.strerror}); choose another: make demo DEMO_PORT={port + 10}"
            ) from error


async def start(*command: str | Path, **options: object) -> asyncio.subprocess.Process:
    """Start a child that a Ctrl-C in the terminal does not reach: we end it, in order."""
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            **options,  # type: ignore[arg-type]
        )
    except FileNotFoundError as error:
        raise DemoError(f"{command[0]} was not found; run `make demo`") from error


async def stop(child: asyncio.subprocess.Process) -> None:
    """Ask the child and its own children to end, and insist after ten seconds."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(child.wait(), 10)
    except TimeoutError:
        os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


@contextlib.asynccontextmanager
async def running(*command: str | Path, **options: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child process that ends with the block, however the block ends."""
    child = await start(*command, **options)
    try:
        yield child
    finally:
        await asyncio.shield(stop(child))


async def build() -> Path:
    """The component of our resolvers; built only when something has changed."""
    began = time.monotonic()
    script = ROOT / "scripts" / "guest.py"
    pipe = asyncio.subprocess.PIPE
    async with running(sys.executable, script, HERE, stdout=pipe) as child:
        output, _ = await child.communicate()
    if child.returncode != 0:
        raise DemoError("the resolvers could not be built")
    module = Path(output.decode().strip())
    say(f"module     {module.name} ({time.monotonic() - began:.1f} s)")
    return module


async def ready(url: str, host: asyncio.subprocess.Process) -> None:
    """Wait until the host has loaded the module; the first time that takes a while."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        if host.returncode is not None:
            raise DemoError(f"the host ended with status {host.returncode}")
        with contextlib.suppress(OSError):
            await asyncio.to_thread(urllib.request.urlopen, f"{url}/readyz", timeout=2)
            return
        await asyncio.sleep(0.05)
    raise DemoError("the host was not ready within two minutes")


@contextlib.contextmanager
def page(preferred_port: int) -> Iterator[int]:
    """Serve the client page from a thread; on another port if that one is taken."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(HERE / "page"))
    try:
        server = http.server.ThreadingHTTPServer((HOST, preferred_port), handler)
    except OSError:
        server = http.server.ThreadingHTTPServer((HOST, 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


async def show(name: str, subscriber: asyncio.subprocess.Process, counts: dict[str, int]) -> None:
    """Print the subscriber's first messages, and count all of them."""
    assert subscriber.stdout is not None
    while line := await subscriber.stdout.readline():
        counts[name] += 1
        if counts[name] <= SHOWN:
            say(f"{name:10} {line.decode().rstrip()}")
            if counts[name] == SHOWN:
                say(f"{name:10} …")


async def demo(seconds: float, port: int) -> None:
    """Everything between the first line and the last."""
    check_port(port)
    module = await build()
    url = f"http://{HOST}:{port}"
    pipe = asyncio.subprocess.PIPE
    counts = dict.fromkeys(SUBSCRIPTIONS, 0)
    async with contextlib.AsyncExitStack() as stack:
        host = await stack.enter_async_context(running(SUBCAST, "serve", module, "--listen", f"{HOST}:{port}"))
        await ready(url, host)
        say(f"host       {url}/graphql")
        page_port = stack.enter_context(page(port + 1))
        say(f"page       http://{HOST}:{page_port}/?host={HOST}:{port}")
        say()

        watched = [asyncio.create_task(host.wait(), name="the host")]
        shown = []
        for name, query in SUBSCRIPTIONS.items():
            say(f"{name:10} subcast subscribe {url} '{' '.join(query.split())}'")
            subscriber = await stack.enter_async_context(running(SUBCAST, "subscribe", url, query, stdout=pipe))
            shown.append(asyncio.create_task(show(name, subscriber, counts)))
            watched.append(asyncio.create_task(subscriber.wait(), name=f"the subscriber of {name}"))
        say()
        # It asks the command for the host's credential.
        environment = os.environ | {"SUBCAST": SUBCAST}
        command = (sys.executable, HERE / "feed.py", "--url", url)
        feed = await stack.enter_async_context(running(*command, env=environment))
        watched.append(asyncio.create_task(feed.wait(), name="the feed"))

        try:
            ended, _ = await asyncio.wait(watched, timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED)
            if ended:
                raise DemoError(f"{ended.pop().get_name()} ended by itself")
        finally:
            for task in [*watched, *shown]:
                task.cancel()
            say()
            say("received   " + ", ".join(f"{name}: {n}" for name, n in counts.items()))
    if seconds and not all(counts.values()):
        raise DemoError("a subscriber received nothing")


async def until_signalled(seconds: float, port: int) -> None:
    """Run the demo; SIGINT, SIGTERM and SIGHUP end it as its last second would."""
    task = asyncio.create_task(demo(seconds, port))

    def end() -> None:
        if not task.cancelling():  # a second Ctrl-C must not interrupt the cleaning up
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> int:
    """0 when the demo ended as it should, Ctrl-C included; 1 with a sentence if not."""
    try:
        seconds = float(os.environ.get("DEMO_SECONDS") or 0)
        port = int(os.environ.get("DEMO_PORT") or 8000)
    except ValueError as error:
        print(f"error: DEMO_SECONDS and DEMO_PORT are numbers: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(until_signalled(seconds, port))
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
