"""The engine in an application: started and stopped with it, published to, and given new resolvers while it runs."""

import asyncio
import json
import os
import socket
import sys
import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from subcast import _compiler, _native
from subcast._authentication import OnAuthenticate, answer
from subcast._bus import EventBusConfig
from subcast._hub import Hub
from subcast._workers import count_workers

if TYPE_CHECKING:
    from types import TracebackType

    from subcast._handler import _Driver

Path = str | os.PathLike[str]

_GRACE = 3.0
"""Seconds that clients get to hear a goodbye when the manager stops."""

_TURN = 32
"""Events after which a publisher lets the loop's other tasks go ahead."""

_managers: "weakref.WeakSet[SubscriptionManager]" = weakref.WeakSet()


class ServerAddress(NamedTuple):
    """Where `SubscriptionManager.serve` listens."""

    host: str
    port: int


class SubscriptionManager:
    """Subscriptions of one application.

    `bus`: where events come from. `module`: a component (`.wasm`), or resolvers (`.py`, or a folder with a
    `resolvers.py`), which are built first: some 20 seconds, once for the same sources. `modules`: several of them, or
    a mapping from names to them; each owns fields of one schema. `config`: a `subcast.toml`, or a mapping with its
    keys, such as `{"auth": {"anonymous": False}}`. `on_authenticate`: who a client is; see `OnAuthenticate`. Without
    it the `auth` section of the configuration decides.

    Use it as `async with SubscriptionManager(...) as manager:`, or hand it to an integration, which starts and stops
    it with the application. It belongs to the event loop that started it; events may be published from anywhere.
    """

    def __init__(
        self,
        bus: EventBusConfig,
        *,
        module: Path | None = None,
        modules: Sequence[Path] | Mapping[str, Path] | None = None,
        config: Path | Mapping[str, Any] | None = None,
        on_authenticate: OnAuthenticate | None = None,
    ) -> None:
        if not isinstance(bus, EventBusConfig):
            raise TypeError(f"bus must be an EventBusConfig, such as EventBusConfig.memory(), not {_kind(bus)}")
        if module is not None and modules is not None:
            raise TypeError("give either module= or modules=, not both")
        self._bus = bus
        self._modules = _named([module] if module is not None else modules if modules is not None else [])
        self._file, self._settings = _configured(config)
        if on_authenticate is not None and not callable(on_authenticate):
            raise TypeError(f"on_authenticate must be callable, not {_kind(on_authenticate)}")
        if not self._modules and config is None:
            raise TypeError("there is nothing to serve: give module=, modules=, or config= with a [[module]]")
        self._on_authenticate = on_authenticate
        self._engine: _native.Engine | None = None
        self._hub: Hub | None = None
        self._drivers: set[_Driver] = set()
        self._questions: set[asyncio.Task[None]] = set()
        self._failing: asyncio.Task[None] | None = None
        self._state = "not started"
        self._published = 0
        _managers.add(self)

    # --- life ---

    async def start(self) -> None:
        """Load the modules and begin to serve.

        Raises `ConfigError`, `BuildError` or `ModuleLoadError`, and `RuntimeError` if it is running already. Cancelling
        it leaves nothing behind.
        """
        if self._state == "forked":
            raise RuntimeError(_FORKED)
        if self._state in ("starting", "running"):
            raise RuntimeError("this manager was started already; one manager serves one application")
        if self._state == "stopping":
            raise RuntimeError("this manager is stopping; start it again when stop() has returned")
        self._warn_of_workers()
        _compiler.install()
        _compiler.point_to_the_builder()
        hub = Hub(asyncio.get_running_loop(), self._on_questions, self._on_failed)
        self._state = "starting"
        try:
            pending = _native.start(
                hub.native,
                file=self._file,
                settings=self._settings,
                modules=self._modules,
                asks=self._on_authenticate is not None,
            )
            engine = await hub.wait_for(pending)
        except BaseException:
            self._state = "not started"
            hub.close()
            raise
        self._hub, self._engine = hub, cast(_native.Engine, engine)
        self._state = "running"

    async def stop(self) -> None:
        """Tell clients to come back, end what runs, and let go of everything. Does nothing if it is not running.

        Raises `RuntimeError` on another event loop than the one that started it, unless that one is closed.
        """
        hub = self._hub
        if self._state != "running" or hub is None:
            return
        if hub.loop is not asyncio.get_running_loop():
            if not hub.loop.is_closed():
                raise RuntimeError("this manager was started on another event loop: stop it there")
            # Its connections and questions have ended with their loop.
            self._drivers.clear()
            self._questions.clear()
            hub.close()
            hub = Hub(asyncio.get_running_loop(), self._on_questions, self._on_failed)
        self._state = "stopping"
        try:
            drivers = list(self._drivers)
            for driver in drivers:
                driver.drain()
            deadline = hub.loop.time() + _GRACE
            while self._drivers and hub.loop.time() < deadline:
                await asyncio.sleep(0.01)
            await hub.wait_for(self._running().stop(hub.native))
        finally:
            for task in self._questions:
                task.cancel()
            hub.close()
            self._engine = self._hub = None
            self._state = "stopped"

    async def __aenter__(self) -> "SubscriptionManager":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        await self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it serves."""
        return self._state == "running"

    # --- events ---

    async def publish_event(self, event_type: str, channel: str, data: Any) -> None:
        """Publish one event.

        `data` is JSON as Python has it: `dict`, `list`, `str`, `int`, `float`, `bool`, `None`. Returns when the event
        has its place in the order of its channel. Waits only while more is under way than the resolvers can take.

        Raises `TypeError` or `ValueError` with the place of what is not JSON, `PublishError` for what no event may be
        (1 MiB, 64 levels), `BusUnavailable` if the manager is not running.
        """
        hub = self._hub_here()
        pending = self._publishing().publish(event_type, channel, data, None if hub is None else hub.native)
        if pending is not None and hub is not None:
            await hub.wait_for(pending)
        self._published += 1
        if self._published % _TURN == 0:
            # Who publishes in a loop would otherwise keep the subscribers of the same event loop waiting.
            await asyncio.sleep(0)

    async def publish_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Publish several events, all of them or none: `{"channel", "type", "data", "id"?, "time"?, "source"?}` each.

        An event whose channel, source and id were seen in the last 10 minutes is not repeated. At most 10,000 at a
        time. Raises what `publish_event` raises; a `PublishError` names the index of the event.
        """
        hub = self._hub_here()
        listed = [dict(event) for event in events]
        pending = self._publishing().publish_all(listed, None if hub is None else hub.native)
        if pending is not None and hub is not None:
            await hub.wait_for(pending)

    def publish(self, event_type: str, channel: str, data: Any) -> None:
        """`publish_event` for code that is not async, from any thread. Blocks only while there is no room."""
        self._publishing().publish(event_type, channel, data, None)

    # --- resolvers ---

    async def swap(
        self, path: Path, *, name: str | None = None, force: bool = False, allow_widening: bool = False
    ) -> dict[str, Any]:
        """Put new resolvers into service; no subscriber and no event is lost.

        `path`: a component, or Python that is built first. `name`: the module that it is a version of; not needed if
        there is only one. `force` ends subscriptions that do not fit the new version. `allow_widening` lets it show
        more than the one before. Returns a report: `name`, `digest`, `previous`, `moved`, `ended`, `ms`, …

        Raises `BuildError` or `ModuleLoadError`, and the version before serves on.
        """
        hub = self._serving()
        name = name or self._only_module()
        pending = self._running().swap(hub.native, name, path, force=force, allow_widening=allow_widening)
        return _report(await hub.wait_for(pending))

    async def rollback(
        self,
        name: str | None = None,
        *,
        version: str | None = None,
        force: bool = False,
        allow_widening: bool = False,
    ) -> dict[str, Any]:
        """Go back to the version before, or to the one whose digest begins with `version`. As `swap` otherwise."""
        hub = self._serving()
        name = name or self._only_module()
        pending = self._running().rollback(hub.native, name, version, force=force, allow_widening=allow_widening)
        return _report(await hub.wait_for(pending))

    # --- what it looks like ---

    def stats(self) -> dict[str, Any]:
        """`generation`, `modules` (name, digest, fields), `connections`, `subscriptions`, `published`, `deliveries`,
        `dropped`; counts are since the start."""
        return cast(dict[str, Any], json.loads(self._running().stats()))

    def metrics(self) -> str:
        """All metrics, as the binary's `/metrics` has them: OpenMetrics text."""
        return self._running().metrics()

    async def serve(self, host: str = "127.0.0.1", port: int = 8000) -> ServerAddress:
        """Serve the same subscriptions on a port of its own, by the Rust server, until the manager stops.

        For full speed, beside the application: clients connect to `ws://host:port/graphql`. Port 0 takes a free one.
        `host` is an IP address, or a name of this machine such as `localhost`. Returns where it listens. Raises
        `ConfigError` for a name that nobody knows, `ServeError` if it cannot listen.
        """
        hub = self._serving()
        host = await _address_of(host)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        served = await hub.wait_for(self._running().serve(hub.native, address))
        return ServerAddress(*cast(tuple[str, int], served))

    # --- inside ---

    def _serving(self) -> Hub:
        """The hub of the engine, on its own loop."""
        self._running()
        hub = self._hub
        if hub is None or hub.loop is not asyncio.get_running_loop():
            raise RuntimeError("this manager was started on another event loop; only publishing works from here")
        return hub

    # The engine's threads live as long as somebody has the engine. A variable of a function that raises would: who
    # keeps an exception keeps its frames. So the engine is only passed through.

    def _running(self) -> _native.Engine:
        if self._engine is None:
            raise RuntimeError(self._why_not())
        return self._engine

    def _publishing(self) -> _native.Engine:
        if self._engine is None:
            raise _native.BusUnavailable(self._why_not())
        return self._engine

    def _hub_here(self) -> Hub | None:
        """The hub, if this is its thread."""
        hub = self._hub
        return hub if hub is not None and hub.loop is _running_loop() else None

    def _why_not(self) -> str:
        if self._state == "forked":
            return _FORKED
        return (
            f"this manager is {self._state}: use `async with manager:`, or `await manager.start()`, "
            "or include its router into the application"
        )

    def _only_module(self) -> str:
        names = [module["name"] for module in self.stats()["modules"]]
        if len(names) != 1:
            raise ValueError(f"there are {len(names)} modules ({', '.join(names)}): say which one, with name=")
        return cast(str, names[0])

    def _on_questions(self) -> None:
        engine, hub, decide = self._engine, self._hub, self._on_authenticate
        if engine is None or hub is None or decide is None:
            return
        for question in engine.questions():
            task = hub.loop.create_task(answer(question, decide))
            self._questions.add(task)
            task.add_done_callback(self._questions.discard)

    def _on_failed(self) -> None:
        """The engine cannot go on; the log says why. Clients are told to come back, and publishing raises."""
        if self._hub is not None and self._state == "running":
            self._failing = self._hub.loop.create_task(self.stop())

    def _warn_of_workers(self) -> None:
        workers = count_workers(sys.argv, os.environ)
        if self._bus.kind == "memory" and workers > 1:
            warnings.warn(
                f"this server has {workers} workers, and with EventBusConfig.memory() an event reaches only the "
                "subscribers of the worker that published it",
                _native.SubcastWarning,
                stacklevel=3,
            )


_FORKED = (
    "this process was forked from one in which the manager was running, and its threads are not here: "
    "start the manager after the fork (in gunicorn, without --preload)"
)


def _after_fork() -> None:
    for manager in list(_managers):
        if manager._state != "not started":
            # The engine's threads are not here: not even letting go of it would work.
            if manager._engine is not None:
                manager._engine.abandon()
            manager._engine = manager._hub = None
            manager._state = "forked"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _address_of(host: str) -> str:
    """Of a name, the IPv4 address if it has one; an address is its own."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _native.ConfigError(
            f"serve: the host {host!r} is neither an IP address nor a name that this machine knows: "
            "use 127.0.0.1, or 0.0.0.0 for all addresses"
        )
    addresses = [str(address[0]) for family, _, _, _, address in found if family == socket.AF_INET]
    return addresses[0] if addresses else str(found[0][4][0])


def _named(modules: Sequence[Path] | Mapping[str, Path]) -> list[tuple[str | None, Path]]:
    if isinstance(modules, (str, bytes, os.PathLike)):
        raise TypeError("modules= takes several paths; for one, use module=")
    pairs: list[tuple[str | None, Path]] = (
        list(modules.items()) if isinstance(modules, Mapping) else [(None, path) for path in modules]
    )
    for _, path in pairs:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"a module must be a path, not {_kind(path)}")
        if not os.path.exists(path):
            raise FileNotFoundError(f"the module {os.fspath(path)} does not exist")
    return pairs


def _configured(config: Path | Mapping[str, Any] | None) -> tuple[Path | None, str | None]:
    """A file, or settings as JSON."""
    if config is None or isinstance(config, (str, os.PathLike)):
        return config, None
    if isinstance(config, Mapping):
        return None, json.dumps(config)
    raise TypeError(f"config must be a path or a mapping, not {_kind(config)}")


def _report(text: object) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(cast(str, text)))


def _kind(value: object) -> str:
    return type(value).__name__
