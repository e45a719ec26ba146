"""The transcripts of `src/protocol/transport_ws`, played over a real socket.

Their application is the guest `engine`: `a` becomes `counted { seq }`. What the driver is asked (`asks`) has no line on
a socket; what it decides (`app`) becomes an event, or is what the engine does by itself. Silence is shown at the end,
by a ping whose pong comes next.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import websockets
from bounds import PATIENCE
from support import ROOT

FOLDER = ROOT / "src/protocol/transport_ws/transcripts"
Publish = Callable[[int], None]


def names() -> set[str]:
    return {path.stem for path in FOLDER.glob("*.txt")}


def limits(name: str) -> dict[str, Any]:
    """What a transcript needs of the configuration."""
    script = Path(FOLDER, f"{name}.txt").read_text()
    found: dict[str, Any] = {}
    if operations := re.search(r"^limit operations (\d+)$", script, re.MULTILINE):
        found["limits"] = {"subscriptions_per_connection": int(operations[1])}
    if "4408" in script:
        found["server"] = {"connection_init_timeout": "2s"}
    return found


class Scene:
    """One transcript against one server."""

    def __init__(self, url: str, publish: Publish) -> None:
        self._url = url
        self._publish = publish
        self._socket: Any = None
        self._is_acknowledged = False

    async def play(self, name: str) -> None:
        """Fails with the number of the line that does not hold."""
        await self._connect("")
        for number, line in enumerate(Path(FOLDER, f"{name}.txt").read_text().splitlines(), 1):
            try:
                await self._line(translated(line.lstrip()))
            except (AssertionError, TimeoutError, websockets.ConnectionClosed) as error:
                raise AssertionError(f"{name}, line {number}: {line}: {error!r}") from error
        await self._silence()
        await self._socket.close()

    async def _line(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        match verb:
            case "" | "#" | "limit" | "asks" | "time":
                pass
            case "connect":
                await self._silence()
                await self._socket.close()
                await self._connect(rest)
            case "client":
                # Once it is closed there is nobody to send to.
                with contextlib.suppress(websockets.ConnectionClosed):
                    await (self._socket.send(b"{}") if rest == "binary" else self._socket.pong())
            case "client:":
                with contextlib.suppress(websockets.ConnectionClosed):
                    await self._socket.send(expanded(rest))
            case "server:":
                message = await self._receive()
                self._is_acknowledged |= message == '{"type":"connection_ack"}'
                assert message == rest, message
            case "server":
                code, _, reason = rest.removeprefix("close ").partition(" ")
                await self._closes(int(code), reason)
            case "app":
                await self._decide(rest)
            case _:
                raise AssertionError("not a line of a transcript")

    async def _connect(self, state: str) -> None:
        subprotocols = [websockets.Subprotocol("graphql-transport-ws")]
        self._socket = await websockets.connect(self._url, subprotocols=subprotocols, max_size=None)
        self._is_acknowledged = False
        if state == "acknowledged":
            await self._socket.send('{"type":"connection_init"}')
            assert await self._receive() == '{"type":"connection_ack"}'
            self._is_acknowledged = True

    async def _decide(self, step: str) -> None:
        if step.startswith("start ") and step != "start q" and not step.endswith(" too late"):
            # The answer to a ping comes after what is being prepared. `q` is a query, and answers by itself.
            await self._silence()
        elif found := re.match(r'next \S+ .*"seq":(\d+)', step):
            await self._silence()
            self._publish(int(found[1]))

    async def _silence(self) -> None:
        """Nothing has come that no line expects."""
        if self._socket.close_code is not None:
            return
        with contextlib.suppress(websockets.ConnectionClosed):
            await self._socket.send('{"type":"ping"}')
            message = await self._receive()
            assert message == '{"type":"pong"}', message

    async def _receive(self) -> str:
        message = await asyncio.wait_for(self._socket.recv(), PATIENCE)
        assert isinstance(message, str), "a binary frame"
        return message

    async def _closes(self, code: int, reason: str) -> None:
        try:
            message = await self._receive()
        except websockets.ConnectionClosed:
            assert (self._socket.close_code, self._socket.close_reason) == (code, reason), (
                self._socket.close_code,
                self._socket.close_reason,
            )
        else:
            raise AssertionError(message)


def translated(line: str) -> str:
    """A line in the words of the guest `engine`."""
    # Others than the first operation ask for something else: here an event reaches everybody who wants it.
    query = (
        "subscription { anything { data } }" if re.search('"id":"[23]"', line) else "subscription { counted { seq } }"
    )
    line = re.sub(r"subscription { [abc] }", query, line)
    return re.sub(r'"data":{"a":(\d+)}', r'"data":{"counted":{"seq":\1}}', line)


def expanded(text: str) -> str:
    """`{{nested 99}}` becomes 99 arrays, `{{x 99}}` 99 times the letter."""

    def expand(found: re.Match[str]) -> str:
        times = int(found[2])
        return "[" * times + "]" * times if found[1] == "nested" else found[1] * times

    return re.sub(r"{{(\S+) (\d+)}}", expand, text)
