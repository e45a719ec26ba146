"""Conversations of `graphql-transport-ws` with FastAPI on uvicorn and Starlette on hypercorn, over real sockets."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import host
import pytest
import websockets
from bounds import PATIENCE, play, until
from support import Client, manager
from transcripts import Scene, limits, names

from subcast import SubscriptionManager

COUNTED = "subscription { counted { seq } }"

ELSEWHERE = {
    # Beside a name: the test that shows it, or why a socket cannot.
    "a_client_is_pinged_while_it_is_authenticated": "nothing is read meanwhile, so that no pong can come",
    "a_failed_event_leaves_the_subscription_alive": "test_an_event_that_fails_and_an_operation_that_ends",
    "a_ping_with_a_token_is_answered_without_it": "test_a_token_in_a_ping_is_never_echoed",
    "a_pong_keeps_the_connection_alive": "test_a_silent_client_is_pinged_and_then_gone",
    "a_second_init_while_the_first_is_pending_closes_with_4429": "nothing is read while it is decided who it is",
    "a_silent_client_is_pinged_after_12_s_and_gone_after_12_more": "test_a_silent_client_is_pinged_and_then_gone",
    "a_slow_consumer_is_closed_with_1013": "test_serving: who does not read is closed",
    "a_subscription_from_init_to_complete": "test_an_event_that_fails_and_an_operation_that_ends",
    "a_token_in_a_ping_before_the_ack_is_ignored": "test_a_token_in_a_ping_is_never_echoed",
    "accept_without_a_pending_init_does_nothing": "a call that the driver does not make",
    "an_error_ends_the_operation_without_a_complete": "test_an_invalid_operation_ends_in_an_error_and_frees_its_id",
    "an_expired_principal_closes_with_4403": "a call that the driver does not make: connections outlive their tokens",
    "an_id_is_free_after_an_error": "test_an_invalid_operation_ends_in_an_error_and_frees_its_id",
    "an_id_is_free_after_the_server_completed_it": "test_an_event_that_fails_and_an_operation_that_ends",
    "any_message_is_a_sign_of_life": "test_a_silent_client_is_pinged_and_then_gone",
    "drain_closes_with_1012": "test_serving: clients are told to come back",
    "escapes_in_type_and_id_are_read_and_written": "test_an_event_that_fails_and_an_operation_that_ends",
    "nothing_but_pong_is_sent_before_the_ack": "nothing is read while it is decided who it is",
    "nothing_is_sent_for_an_operation_that_has_not_started": "a call that the driver does not make",
    "operations_interleave_and_end_one_by_one": "test_an_event_that_fails_and_an_operation_that_ends",
    "positions_travel_in_a_protocol_ping": "a call that the driver does not make",
    "slow_authentication_is_not_an_init_timeout": "test_slow_authentication_is_not_an_init_timeout",
    "subscribe_before_ack_closes_with_4401": "nothing is read while it is decided who it is",
    "the_first_close_is_the_only_one": "calls that the driver does not make",
}


async def authenticate(request: Any) -> Any:
    match request.authorization:
        case "Bearer forged":
            return None
        case "Bearer slow":
            await asyncio.sleep(4)
        case "Bearer first" | "Bearer fresh":
            return {"sub": "ann"}
    return {}


class Served:
    """A server in a thread of its own."""

    def __init__(self, kind: str, config: dict[str, Any]) -> None:
        make_app, self._serve = host.KINDS[kind]
        self.manager: SubscriptionManager = manager(config=config, on_authenticate=authenticate)
        self._app = make_app(self.manager)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}{host.PATH}"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        until("it starts or ends", lambda: self.manager.is_running or not self._thread.is_alive())
        assert self._thread.is_alive(), "it does not start"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with self._listener:
            self._loop.run_until_complete(self._serve(self._app, self.manager, self._listener, self._stop))
        self._loop.close()

    def publish(self, seq: int) -> None:
        self.manager.publish("counted", "counts", {"seq": seq})

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


Start = Callable[..., Served]


@pytest.fixture(scope="module", params=host.KINDS)
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Servers of one kind, one for each configuration."""
    running: dict[str, Served] = {}

    def start(**config: Any) -> Served:
        key = repr(config)
        if key not in running:
            running[key] = Served(request.param, config)
        return running[key]

    yield start
    for server in running.values():
        server.end()


def test_every_transcript_has_its_place() -> None:
    assert set(ELSEWHERE) <= names()
    for place in ELSEWHERE.values():
        assert not place.startswith("test_") or place in globals() or ":" in place, place


@pytest.mark.parametrize("name", sorted(names() - set(ELSEWHERE)))
def test_a_transcript_holds_over_a_socket(start: Start, name: str) -> None:
    server = start(**limits(name))
    play(Scene(server.url, server.publish).play(name))


def test_a_wrong_subprotocol_closes_with_4406(start: Start) -> None:
    async def scenario() -> None:
        for offered in (None, ["graphql-ws"], ["graphql-transport-ws2"]):
            client = Client(await websockets.connect(start().url, subprotocols=offered))  # type: ignore[arg-type]
            assert await client.closed() == (4406, "Subprotocol not acceptable"), offered

    play(scenario())


def test_an_invalid_operation_ends_in_an_error_and_frees_its_id(start: Start) -> None:
    async def scenario() -> None:
        server = start()
        client = await Client.connect(server.url)
        for query in ("subscription {", "subscription { nothingLikeThis }", "subscription ($n: Int!) { loops(n: $n) }"):
            await client.send({"id": "1", "type": "subscribe", "payload": {"query": query}})
            answer = await client.receive()
            assert (answer["type"], answer["id"]) == ("error", "1"), answer
            assert answer["payload"][0]["message"]
        # No `complete` follows, and the id is free.
        await client.subscribe("1", COUNTED)
        server.publish(5)
        assert await client.next() == {"data": {"counted": {"seq": 5}}}
        await client.close()

    play(scenario())


def test_an_event_that_fails_and_an_operation_that_ends(start: Start) -> None:
    async def scenario() -> None:
        server = start()
        client = await Client.connect(server.url)
        await client.subscribe("refused", "subscription { refuses { seq } }")
        for seq in (1, 2):
            server.manager.publish("refuses", "hostile", {"seq": seq})
            failed = await client.receive()
            assert (failed["type"], failed["payload"]["errors"][0]["message"]) == ("next", "not today")
        await client.send({"id": "refused", "type": "complete"})
        for _ in range(2):
            await client.subscribe('a"bé', "subscription { ending { seq } }")
            server.publish(2)
            server.publish(3)
            expected = [("next", 2), ("next", 3), ("complete", None)]
            for kind, seq in expected:
                message = await client.receive()
                assert (message["id"], message["type"]) == ('a"bé', kind)
                assert seq is None or message["payload"] == {"data": {"ending": {"seq": seq}}}
            # Nothing follows, and the id is free.
            server.publish(4)
        await client.send({"type": "ping"})
        assert (await client.receive())["type"] == "pong"
        await client.close()

    play(scenario())


def test_a_token_in_a_ping_is_never_echoed(start: Start) -> None:
    async def scenario() -> None:
        client = await Client.open(start().url)
        await client.send({"type": "ping", "payload": {"authorization": "Bearer early"}})
        assert await client.receive() == {"type": "pong"}
        await client.send({"type": "connection_init", "payload": {"authorization": "Bearer first"}})
        assert (await client.receive())["type"] == "connection_ack"
        await client.send({"type": "ping", "payload": {"authorization": "Bearer fresh"}})
        assert await client.receive() == {"type": "pong", "payload": {"authorized": True}}
        await client.send({"type": "ping", "payload": {"authorization": "Bearer forged"}})
        assert await client.closed() == (4403, "Forbidden")

    play(scenario())


def test_slow_authentication_is_not_an_init_timeout(start: Start) -> None:
    async def scenario() -> None:
        server = start(server={"connection_init_timeout": "2s"})
        client = await Client.connect(server.url, {"authorization": "Bearer slow"})
        await client.close()

    play(scenario())


def test_a_silent_client_is_pinged_and_then_gone(start: Start) -> None:
    async def scenario() -> None:
        client = await Client.connect(start(server={"ping_interval": "200ms", "pong_timeout": "3s"}).url)
        for sign in ("pong", "ping"):
            assert (await client.receive())["type"] == "ping"
            await client.send({"type": sign})
            if sign == "ping":
                assert (await client.receive())["type"] == "pong"
        assert (await client.receive())["type"] == "ping"
        assert await client.closed() == (3008, "No pong received in time")

    play(scenario())


def test_a_message_that_is_too_large_closes_with_1009(start: Start) -> None:
    async def scenario() -> None:
        server = start(server={"max_message": "4KiB"})
        fits = await Client.connect(server.url, {"fill": "x" * 3_000})
        await fits.close()
        # Counted in bytes, not in characters.
        for fill in ("x" * 5_000, "é" * 2_500):
            client = await Client.connect(server.url)
            await client.socket.send('{"type":"ping","payload":{"fill":"' + fill + '"}}')
            assert (await client.closed())[0] == 1009

    play(scenario())
