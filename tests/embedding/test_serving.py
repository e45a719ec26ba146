"""Subscribers of an application: the same engine behind every kind of socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import uvloop
import websockets
from bounds import PATIENCE, play
from fastapi import FastAPI
from starlette.applications import Starlette
from support import TARGET, Client, manager, served, until, version

from subcast import Disconnected, GraphQLTransportWSHandler, SubscriptionManager, WebSocketAdapter
from subcast.integrations.asgi import ASGIWebSocketAdapter
from subcast.integrations.fastapi import SubscriptionRouterFactory
from subcast.integrations.starlette import create_subscription_app
from subcast.testing import check_adapter, probe

COUNTED = "subscription { counted { seq } }"


def fastapi(subscriptions: SubscriptionManager) -> FastAPI:
    app = FastAPI()
    app.include_router(SubscriptionRouterFactory.create(subscriptions))
    return app


def starlette(subscriptions: SubscriptionManager) -> Any:
    return create_subscription_app(Starlette(), subscriptions)


@pytest.mark.parametrize("make_app", [fastapi, starlette])
@pytest.mark.parametrize("ws", ["websockets-sansio", "websockets", "wsproto"])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_events_arrive_once_and_in_order(make_app: Any, ws: str, run: Any) -> None:
    async def scenario() -> None:
        subscriptions = manager()
        async with served(make_app(subscriptions), ws=ws) as url:
            clients = [await Client.connect(url) for _ in range(10)]
            for client in clients:
                await client.subscribe("1", COUNTED)
            assert subscriptions.stats()["subscriptions"] == 10
            for seq in range(200):
                await subscriptions.publish_event("counted", "counts", {"seq": seq})
            for client in clients:
                for seq in range(200):
                    assert await client.next() == {"data": {"counted": {"seq": seq}}}
                await client.close()
            await until("all have left", lambda: subscriptions.stats()["subscriptions"] == 0)
            assert "subcast_deliveries_total 2000" in subscriptions.metrics()
        assert not subscriptions.is_running

    play(scenario(), run)


def test_a_loop_that_cannot_watch_a_pipe_is_woken_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        add_reader = loop.add_reader

        def refuse(*arguments: Any) -> None:
            raise NotImplementedError

        loop.add_reader = refuse  # type: ignore[method-assign]
        subscriptions = manager()
        await subscriptions.start()
        loop.add_reader = add_reader  # type: ignore[method-assign]
        async with served(fastapi(subscriptions)) as url:
            client = await Client.connect(url)
            await client.subscribe("1", COUNTED)
            for seq in range(300):
                await subscriptions.publish_event("counted", "counts", {"seq": seq})
                assert await client.next() == {"data": {"counted": {"seq": seq}}}
            await client.close()
        await subscriptions.stop()

    play(scenario())


def test_the_rust_server_serves_the_same_subscriptions_beside_the_application() -> None:
    async def scenario() -> None:
        subscriptions = manager()
        async with served(fastapi(subscriptions)) as url:
            host, port = await subscriptions.serve("127.0.0.1", 0)
            clients = [await Client.connect(url), await Client.connect(f"ws://{host}:{port}/graphql")]
            for client in clients:
                await client.subscribe("1", COUNTED)
            await subscriptions.publish_event("counted", "counts", {"seq": 1})
            for client in clients:
                assert await client.next() == {"data": {"counted": {"seq": 1}}}
                await client.close()

    play(scenario())


def test_resolvers_are_replaced_while_subscribers_listen() -> None:
    async def scenario() -> None:
        subscriptions = manager("swap")
        async with served(fastapi(subscriptions)) as url:
            client = await Client.connect(url)
            await client.subscribe("1", "subscription { tick { seq version } }")

            async def says(seq: int) -> str:
                await subscriptions.publish_event("tick", "ticks", {"seq": seq, "id": "1"})
                tick = (await client.next())["data"]["tick"]
                assert tick["seq"] == seq
                return str(tick["version"])

            assert await says(1) == "version-0000"
            report = await subscriptions.swap(version(1))
            assert (report["moved"], report["ended"]) == (1, [])
            assert await says(2) == "version-0001"
            await subscriptions.rollback()
            assert await says(3) == "version-0000"
            await client.close()

    play(scenario())


def test_the_application_says_who_a_client_is() -> None:
    seen = []

    async def authenticate(request: Any) -> Any:
        seen.append((request.authorization, request.headers.get("x-who")))
        match request.authorization:
            case "Bearer good":
                await asyncio.sleep(0)
                return {"sub": "ann", "role": "vip"}
            case "Bearer bad":
                return None
            case "Bearer wrong":
                return "ann"
            case "Bearer raises":
                raise LookupError("no such user: a secret")
        return {}

    async def scenario() -> None:
        subscriptions = manager(on_authenticate=authenticate)
        async with served(fastapi(subscriptions)) as url:
            address = await subscriptions.serve("127.0.0.1", 0)
            # The Rust server asks as well.
            for where in [url, f"ws://{address.host}:{address.port}/graphql"]:
                client = await Client.connect(
                    where, {"authorization": "Bearer good"}, additional_headers={"X-Who": "me"}
                )
                assert seen[-1] == ("Bearer good", "me")
                await client.subscribe("1", "subscription { mine { subject claims } }")
                await subscriptions.publish_event("mine", "mine", {})
                mine = (await client.next())["data"]["mine"]
                assert mine == {"subject": "ann", "claims": {"sub": "ann", "role": "vip"}}
                await client.close()
                for token in ["bad", "wrong", "raises"]:
                    client = await Client.open(where)
                    await client.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
                    assert await client.closed() == (4403, "Forbidden"), token
                client = await Client.connect(where)
                assert seen[-1][0] is None
                await client.close()

    play(scenario())


def test_who_does_not_read_is_closed_and_hinders_nobody() -> None:
    async def scenario() -> None:
        subscriptions = manager(config={"delivery": {"outbox": {"messages": 64}}})
        # What is all the same would be compressed to nothing.
        async with served(fastapi(subscriptions), ws="websockets-sansio", ws_per_message_deflate=False) as url:
            query = "subscription { anything { type channel data } }"
            slow = await Client.connect(url)
            await slow.subscribe("1", query)
            slow.socket.transport.pause_reading()
            quick = await Client.connect(url)
            await quick.subscribe("1", query)
            for number in range(400):
                await subscriptions.publish_event("any", "any", {"number": number, "fill": "x" * 50_000})
                assert (await quick.next())["data"]["anything"]["data"]["number"] == number
            await until("the slow one is gone", lambda: subscriptions.stats()["connections"] == 1)
            slow.socket.transport.resume_reading()
            assert (await slow.closed())[0] in (1013, 1006)
            await quick.close()

    play(scenario())


def test_a_page_of_a_foreign_origin_may_not_connect() -> None:
    async def scenario() -> None:
        async with served(fastapi(manager())) as url:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await Client.open(url, origin="https://evil.example")
            assert refused.value.response.status_code == 403
            await (await Client.connect(url, origin="http://127.0.0.1:3000")).close()

    play(scenario())


def test_violations_of_the_protocol_end_the_connection() -> None:
    async def scenario() -> None:
        async with served(fastapi(manager(config={"limits": {"connections": 1}}))) as url:
            client = await Client.open(url)
            await client.send({"id": "1", "type": "subscribe", "payload": {"query": COUNTED}})
            assert (await client.closed())[0] == 4401
            for message in ["{", b"{}", "[]"]:
                client = await Client.open(url)
                await client.socket.send(message)
                assert (await client.closed())[0] == 4400, message
            first = await Client.connect(url)
            assert (await (await Client.open(url)).closed())[0] == 1013
            await first.close()
            socket = await websockets.connect(url)
            assert (await Client(socket).closed())[0] == 4406

    play(scenario())


def test_clients_are_told_to_come_back_when_the_manager_stops() -> None:
    async def scenario() -> None:
        subscriptions = manager()
        await subscriptions.start()
        async with served(fastapi(subscriptions)) as url:
            clients = [await Client.connect(url) for _ in range(5)]
            await subscriptions.stop()
            for client in clients:
                assert await client.closed() == (1012, "Service restart")

    play(scenario())


async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


def failing() -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        raise LookupError("the application's own start fails")
        yield

    return Starlette(lifespan=lifespan)


def test_the_manager_lives_with_the_application() -> None:
    async def scenario() -> None:
        subscriptions = manager()
        async with served(create_subscription_app(without_lifespan, subscriptions)) as url:
            assert subscriptions.is_running
            await (await Client.connect(url)).close()
        assert not subscriptions.is_running
        # What the application says of its own start is what the server hears.
        sent: list[str] = []

        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        with pytest.raises(LookupError):
            await create_subscription_app(failing(), subscriptions)({"type": "lifespan", "state": {}}, receive, send)
        assert sent == ["lifespan.startup.failed"]
        assert not subscriptions.is_running

    play(scenario())


class BinaryAdapter(ASGIWebSocketAdapter):
    """Gets it wrong: sends bytes as a binary message."""

    async def send_bytes(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": data})


class HeadlessAdapter(ASGIWebSocketAdapter):
    """Gets it wrong: keeps the headers of the request to itself."""

    headers = ()


class ForgetfulAdapter(ASGIWebSocketAdapter):
    """Gets it wrong: loses the subprotocol and the code of the close."""

    async def accept(self, subprotocol: str | None = None) -> None:
        await super().accept()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await super().close()


@pytest.mark.parametrize(
    ("adapter", "faults"),
    [
        (ASGIWebSocketAdapter, []),
        (BinaryAdapter, ["binary message"]),
        (HeadlessAdapter, ["headers has not"]),
        (ForgetfulAdapter, ["subprotocol", "close("]),
    ],
)
def test_adapters_are_checked(adapter: Any, faults: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await check_adapter(adapter(scope, receive, send))

    async def scenario() -> None:
        async with served(app, lifespan="off") as url:
            found = await probe(url)
            assert len(found) == len(faults), found
            for fault, sentence in zip(faults, found, strict=True):
                assert fault in sentence

    play(scenario())


class Minimal(WebSocketAdapter):
    """The seven members and no more, over two queues."""

    headers: Sequence[tuple[str, str]] = ()

    def __init__(self, *headers: tuple[str, str]) -> None:
        self.headers = headers
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.waiting: asyncio.Queue[Any] = asyncio.Queue()
        self._connected = False

    async def next(self) -> Any:
        """What was sent next."""
        return await asyncio.wait_for(self.sent.get(), PATIENCE)

    async def accept(self, subprotocol: str | None = None) -> None:
        self._connected = True

    async def receive_json(self) -> Any:
        message = await self.waiting.get()
        if message is None:
            raise Disconnected(1000)
        if message == "{":
            raise ValueError("not JSON")
        return message

    async def send_json(self, data: Any) -> None:
        raise AssertionError("ready text is not parsed again")

    async def send_bytes(self, data: bytes) -> None:
        await self.sent.put(data)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.sent.put((code, reason))

    @property
    def is_connected(self) -> bool:
        return self._connected


def test_an_adapter_must_say_which_headers_the_request_had() -> None:
    class Silent(Minimal):
        headers = WebSocketAdapter.headers

    with pytest.raises(TypeError, match="headers"):
        Silent()


def test_a_page_of_a_foreign_origin_may_not_connect_through_an_adapter() -> None:
    async def scenario() -> None:
        async with manager() as subscriptions:
            for relay in [(), (("x-forwarded-for", "192.0.2.1"),)]:
                adapter = Minimal(("host", "localhost"), ("origin", "https://evil.example"), *relay)
                await GraphQLTransportWSHandler(subscriptions).handle(adapter)
                assert await adapter.sent.get() == (1008, "Origin not allowed")
                assert not adapter.is_connected

    asyncio.run(scenario())


def test_seven_members_are_enough() -> None:
    async def scenario() -> None:
        async with manager() as subscriptions:
            adapter = Minimal()
            serving = asyncio.create_task(GraphQLTransportWSHandler(subscriptions).handle(adapter))
            await adapter.waiting.put({"type": "connection_init"})
            assert await adapter.next() == b'{"type":"connection_ack"}'
            await adapter.waiting.put({"id": "1", "type": "subscribe", "payload": {"query": COUNTED}})
            await until("subscribed", lambda: subscriptions.stats()["subscriptions"] == 1)
            await subscriptions.publish_event("counted", "counts", {"seq": 7})
            assert await adapter.next() == b'{"id":"1","type":"next","payload":{"data":{"counted":{"seq":7}}}}'
            await adapter.waiting.put(None)
            await asyncio.wait_for(serving, PATIENCE)
            assert subscriptions.stats()["subscriptions"] == 0
            odd = Minimal()
            serving = asyncio.create_task(GraphQLTransportWSHandler(subscriptions).handle(odd))
            await odd.waiting.put("{")
            assert (await odd.next())[0] == 4400
            await asyncio.wait_for(serving, PATIENCE)

    play(scenario())


def test_python_resolvers_are_built_and_kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(TARGET / "embedding-cache"))
    (tmp_path / "resolvers.py").write_text(
        "from subcast_guest import subscription\n\n\n"
        '@subscription("said", channel="said")\ndef said(event: dict, variables: dict) -> str:\n    return event\n'
    )
    (tmp_path / "schema.graphql").write_text("type Subscription { said: String! }\n")

    async def scenario() -> None:
        from subcast import EventBusConfig

        for path in [tmp_path / "resolvers.py", tmp_path]:
            async with SubscriptionManager(EventBusConfig.memory(), module=path) as subscriptions:
                assert subscriptions.stats()["modules"][0]["fields"] == ["said"]
                assert subscriptions.stats()["modules"][0]["name"] in ("resolvers", tmp_path.name)

    play(scenario())
