"""The PyPI package `gql`, unmodified. It offers the legacy subprotocol first.

`GQL_SUBPROTOCOLS`, separated by commas, is what its users have to set behind hypercorn; see `docs/embedding.md`.
"""

import asyncio
import contextlib
import os
import signal
from typing import Any

import pytest
from bounds import play
from gql import Client, gql
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from host import Host

NAMES = gql("subscription { userUpdated { name } }")
ADA = {"id": "1", "name": "Ada", "email": "ada@example.com"}
GRACE = {"id": "2", "name": "Grace", "email": None}


SUBPROTOCOLS: Any = os.environ["GQL_SUBPROTOCOLS"].split(",") if "GQL_SUBPROTOCOLS" in os.environ else None
"""Instead of those that the client offers by itself."""


def client(host: Host) -> Client:
    """A client with the default transport settings."""
    return Client(transport=WebsocketsTransport(url=host.socket_url, subprotocols=SUBPROTOCOLS))


async def take(session: AsyncClientSession, count: int, query: Any) -> list[Any]:
    """The first `count` results; then the subscription is ended by the client."""
    results: list[Any] = []
    stream = session.subscribe(query)
    try:
        async for result in stream:
            results.append(result)
            if len(results) == count:
                break
    finally:
        await stream.aclose()
    return results


async def publish(host: Host, channel: str, kind: str, *data: Any) -> None:
    """Publish without stopping the client's event loop."""
    await asyncio.to_thread(host.publish, channel, kind, *data)


async def live(host: Host, count: int) -> None:
    """Wait for so many live subscriptions."""
    await asyncio.to_thread(host.subscriptions, count)


@pytest.mark.skipif(SUBPROTOCOLS is not None, reason="only one is offered")
def test_graphql_transport_ws_is_chosen_although_it_is_offered_second(
    host: Host,
) -> None:
    async def scenario() -> None:
        transport = WebsocketsTransport(url=host.socket_url)
        async with Client(transport=transport) as session:
            offered = transport.adapter.subprotocols
            assert offered == ["graphql-ws", "graphql-transport-ws"]
            assert transport.subprotocol == "graphql-transport-ws"
            assert await session.execute(gql("{ __typename }")) == {"__typename": "Query"}

    play(scenario())


def test_subscriptions_of_one_session_receive_what_their_arguments_ask_for(
    host: Host,
) -> None:
    two = gql("subscription ($id: ID) { userUpdated(id: $id) { id email } }")
    two.variable_values = {"id": "2"}

    async def scenario() -> None:
        async with client(host) as session:
            everyone = asyncio.create_task(take(session, 2, NAMES))
            grace = asyncio.create_task(take(session, 1, two))
            await live(host, 2)
            assert host.metric("subcast_connections") == 1
            await publish(host, "users", "userUpdated", ADA, GRACE)
            assert await everyone == [
                {"userUpdated": {"name": "Ada"}},
                {"userUpdated": {"name": "Grace"}},
            ]
            assert await grace == [{"userUpdated": {"id": "2", "email": None}}]
            # Both ended by `aclose`, which sends `complete`; the session lives on.
            await live(host, 0)
            assert host.metric("subcast_connections") == 1

    play(scenario())


def test_closing_the_session_ends_its_subscriptions(host: Host) -> None:
    async def scenario() -> None:
        async with client(host) as session:
            endless = asyncio.create_task(take(session, 10, NAMES))
            await live(host, 1)
        # The host answers the goodbye, so this is an end, not a failure.
        assert await endless == []

    play(scenario())
    host.subscriptions(0)


def test_a_completed_stream_ends_the_loop(host: Host) -> None:
    async def scenario() -> None:
        async with client(host) as session:
            query = gql("subscription { countdown }")
            numbers = asyncio.create_task(take(session, 100, query))
            await live(host, 1)
            data = [{"number": number} for number in (2, 1, 0)]
            await publish(host, "numbers", "countdown", *data)
            assert await numbers == [{"countdown": number} for number in (2, 1, 0)]

    play(scenario())


def test_errors_name_the_mistake_and_leave_the_session_usable(host: Host) -> None:
    async def scenario() -> None:
        async with client(host) as session:
            with pytest.raises(TransportQueryError, match="nothingLikeThis"):
                await take(session, 1, gql("subscription { nothingLikeThis }"))

            failing = asyncio.create_task(take(session, 1, gql("subscription { payment }")))
            await live(host, 1)
            await publish(host, "payments", "payment", {"amount": -1})
            with pytest.raises(TransportQueryError) as caught:
                await failing
            assert caught.value.errors is not None
            assert caught.value.errors[0]["message"] == "the amount is negative"
            assert caught.value.errors[0]["extensions"]["code"] == "NEGATIVE"

            usable = asyncio.create_task(take(session, 1, NAMES))
            await live(host, 1)
            await publish(host, "users", "userUpdated", ADA)
            assert await usable == [{"userUpdated": {"name": "Ada"}}]

    play(scenario())


def test_a_permanent_session_resumes_after_the_host_was_killed(host: Host) -> None:
    async def scenario() -> None:
        received: asyncio.Queue[str] = asyncio.Queue()
        permanent: Any = client(host)
        session = await permanent.connect_async(reconnecting=True)

        async def follow() -> None:
            # gql connects again by itself; subscribing again is the caller's part.
            while True:
                with contextlib.suppress(TransportConnectionFailed):
                    async for result in session.subscribe(NAMES):
                        received.put_nowait(result["userUpdated"]["name"])
                await asyncio.sleep(0.05)

        following = asyncio.create_task(follow())
        try:
            await live(host, 1)
            await publish(host, "users", "userUpdated", ADA)
            assert await received.get() == "Ada"

            await asyncio.to_thread(host.restart, signal.SIGKILL)
            await live(host, 1)
            await publish(host, "users", "userUpdated", GRACE)
            assert await received.get() == "Grace"
        finally:
            following.cancel()
            await permanent.close_async()

    play(scenario())
