"""Drives one connection: what the client sends goes into the engine, what the engine has goes to the client.

Two tasks per connection, and none per message. One receives; the other one sends whatever is
ready and then sleeps until the hub rings.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from subcast import _native
from subcast._adapter import Disconnected, WebSocketAdapter

if TYPE_CHECKING:
    from subcast._manager import SubscriptionManager

SUBPROTOCOL = "graphql-transport-ws"
_INTERNAL_ERROR = 1011
_SERVICE_RESTART = 1012
_TRY_AGAIN_LATER = 1013
_SUBPROTOCOL_NOT_ACCEPTABLE = 4406
_FORBIDDEN = 1008
_LINGER = 2.0
"""Seconds that a close may take to reach the client, and the client to answer it."""

_log = logging.getLogger("subcast")


class GraphQLTransportWSHandler:
    """Serves `graphql-transport-ws` over any `WebSocketAdapter`."""

    def __init__(self, manager: "SubscriptionManager") -> None:
        self._manager = manager

    async def handle(self, adapter: WebSocketAdapter) -> None:
        """Serve one client, from the handshake until it is gone. Raises nothing for what the client does."""
        hub = self._manager._serving()
        headers = list(adapter.headers)
        if not self._manager._running().allows_origin(headers, adapter.client):
            _log.info("refused a page of a foreign origin; add it to server.allowed_origins if it may connect")
            await _close(adapter, _FORBIDDEN, "Origin not allowed")
            return
        offered = adapter.subprotocols
        if offered is not None and SUBPROTOCOL not in offered:
            await adapter.accept()
            await _close(adapter, _SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        connection = self._manager._running().connect(headers)
        if connection is None:
            await adapter.accept(SUBPROTOCOL)
            await _close(adapter, _TRY_AGAIN_LATER, "Too many connections")
            return
        driver = _Driver(adapter, connection, hub.loop)
        hub.listen(connection.key, driver)
        self._manager._drivers.add(driver)
        try:
            await adapter.accept(SUBPROTOCOL)
            await driver.run()
        except Disconnected:
            pass
        except asyncio.CancelledError:
            # The server ends, and has not told the application yet: the client need not take it for an error.
            if adapter.is_connected:
                await _close(adapter, _SERVICE_RESTART, "Service restart")
            raise
        finally:
            hub.forget(connection.key)
            self._manager._drivers.discard(driver)
            connection.close()


class _Driver:
    """One connection at work."""

    def __init__(
        self, adapter: WebSocketAdapter, connection: _native.Connection, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._adapter = adapter
        self._connection = connection
        self._loop = loop
        self._sleeping: asyncio.Future[None] | None = None
        """What the sender waits for, while it does."""
        self._room = asyncio.Event()
        """Set when the receiver may go on."""
        self._sender: asyncio.Task[tuple[int, str] | None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Until either side is done."""
        receiver = self._loop.create_task(self._receive())
        self._sender = sender = self._loop.create_task(self._send())
        try:
            await asyncio.wait((receiver, sender), return_when=asyncio.FIRST_COMPLETED)
            # The subscriptions end now, not after the goodbye.
            self._connection.close()
            if sender.done() and not sender.cancelled() and sender.exception() is None:
                goodbye = sender.result()
            elif sender.cancelled():
                goodbye = (_TRY_AGAIN_LATER, "Slow consumer: results were not read in time")
            elif any(_broke(task) for task in (receiver, sender)):
                goodbye = (_INTERNAL_ERROR, "Internal server error")
            else:
                goodbye = None
            if goodbye is not None:
                await _close(self._adapter, *goodbye)
                if not receiver.done():
                    # Its answer, so that the server need not cut the connection off.
                    await asyncio.wait((receiver,), timeout=_LINGER)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in (receiver, sender):
                task.cancel()
            for ended in await asyncio.gather(receiver, sender, return_exceptions=True):
                if isinstance(ended, _native.InternalError):
                    _log.error("a connection ended by a bug", exc_info=ended)
                elif isinstance(ended, Exception) and not isinstance(ended, Disconnected):
                    _log.error("a WebSocket adapter failed", exc_info=ended)

    def ring(self) -> None:
        """The engine has something for the client."""
        sleeping = self._sleeping
        if sleeping is not None:
            if not sleeping.done():
                sleeping.set_result(None)
        elif self._sender is not None and self._connection.is_overflowed():
            # It is in the middle of sending, to somebody who does not read.
            self._sender.cancel()

    def drain(self) -> None:
        """The manager stops: tell the client to come back."""
        self._connection.drain()
        self.ring()

    async def _receive(self) -> None:
        connection, receive = self._connection, self._adapter.receive_text
        while True:
            text = await receive()
            if isinstance(text, str):
                connection.handle_text(text)
            else:
                connection.handle_binary()
            self.ring()
            while connection.is_blocked():
                self._room.clear()
                await self._room.wait()

    async def _send(self) -> tuple[int, str]:
        """Returns the close that the engine wants."""
        poll, send = self._connection.poll, self._adapter.send_text
        while True:
            frames, goodbye = poll()
            for frame in frames:
                await send(frame)
            if goodbye is not None:
                return goodbye
            if not frames:
                self._room.set()
                self._set_timer()
                self._sleeping = self._loop.create_future()
                try:
                    await self._sleeping
                finally:
                    self._sleeping = None

    def _set_timer(self) -> None:
        seconds = self._connection.timeout()
        now = self._loop.time()
        if self._timer is not None:
            if seconds is not None and not self._timer.cancelled() and self._timer.when() <= now + seconds:
                # It comes in time, sees that it is too early, and is set anew.
                return
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._connection.handle_timeout()
        self.ring()


def _broke(task: "asyncio.Task[Any]") -> bool:
    """Whether it has ended by a bug of ours."""
    return task.done() and not task.cancelled() and isinstance(task.exception(), _native.InternalError)


async def _close(adapter: WebSocketAdapter, code: int, reason: str) -> None:
    """A goodbye to somebody who may not listen any more."""
    try:
        await asyncio.wait_for(adapter.close(code, reason), _LINGER)
    except (Disconnected, TimeoutError, RuntimeError):
        pass
