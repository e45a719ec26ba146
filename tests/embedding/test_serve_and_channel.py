"""Where the Rust server listens, and what channels are called."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from bounds import PATIENCE, play
from support import Client, manager

import subcast


def test_the_rust_server_listens_on_a_name() -> None:
    async def scenario() -> None:
        async with manager() as subscriptions:
            host, port = await subscriptions.serve("localhost", 0)
            assert host in ("127.0.0.1", "::1")
            client = await Client.connect(f"ws://localhost:{port}/graphql")
            await client.close()
            for wrong in ("nowhere.invalid", "a..b", "x" * 300):
                with pytest.raises(subcast.ConfigError, match="neither an IP address nor a name"):
                    await subscriptions.serve(wrong, 0)

    play(scenario())


def test_the_rust_server_wants_a_credential_for_its_publish_and_admin_routes(tmp_path: Path) -> None:
    event = {"channel": "counts", "type": "counted", "data": {"seq": 1}}

    def status(url: str, token: str | None, body: object = None) -> int:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    async def scenario() -> None:
        runtime_dir = tmp_path / "run"
        async with manager(config={"server": {"runtime_dir": str(runtime_dir)}}) as subscriptions:
            host, port = await subscriptions.serve("127.0.0.1", 0)
            url = f"http://{host}:{port}"
            (left,) = runtime_dir.iterdir()
            assert left.name == f"{host}:{port}.token" and left.stat().st_mode & 0o777 == 0o600
            command = [Path(sys.executable).parent / "subcast", "token", url]
            environment = os.environ | {"SUBCAST_SERVER_RUNTIME_DIR": str(runtime_dir)}
            told = await asyncio.to_thread(
                subprocess.run, command, env=environment, capture_output=True, text=True, timeout=PATIENCE
            )
            token = told.stdout.strip()
            assert token == left.read_text().strip(), told.stderr
            for shown, publishes, administers in [(None, 401, 401), ("x" * 64, 401, 401), (token, 202, 200)]:
                assert await asyncio.to_thread(status, f"{url}/events", shown, event) == publishes
                assert await asyncio.to_thread(status, f"{url}/admin/modules", shown) == administers
        assert not left.exists()

    play(scenario())


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with manager() as subscriptions:
                with pytest.raises(subcast.ServeError) as refused:
                    await subscriptions.serve("127.0.0.1", port)
        assert str(refused.value) == (
            f"127.0.0.1:{port} is in use by another program: end that one, or give serve() another port "
            "(port 0 takes a free one)"
        )

    play(scenario())


def test_a_channel_is_what_subscribers_listen_to() -> None:
    assert subcast.channel("orders:{id}", id="a:b") == "orders:a%3Ab"
    assert subcast.channel("{a}/{b}", a="é x", b=5) == "é%20x/5"
    assert subcast.channel("users") == "users"

    async def scenario() -> None:
        async with manager() as subscriptions:
            address = await subscriptions.serve("127.0.0.1", 0)
            client = await Client.connect(f"ws://127.0.0.1:{address.port}/graphql")
            for number, order in enumerate(["a:b", "a b/{c}%", "é*", "7"]):
                query = f"subscription {{ orderPlaced(order_id: {json.dumps(order)}) {{ total }} }}"
                await client.subscribe(str(number), query)
                channel = subcast.channel("orders:{order_id}", order_id=order)
                await subscriptions.publish_event("orderPlaced", channel, {"id": order, "total": number})
                assert await client.next() == {"data": {"orderPlaced": {"total": number}}}
            await client.close()

    play(scenario())


@pytest.mark.parametrize(
    ("template", "arguments", "error", "says"),
    [
        ("orders:{id}", {}, TypeError, "`orders:{id}` needs the argument `id`"),
        ("orders:{id}", {"id": 1, "id2": 2}, TypeError, "`orders:{id}` has no argument `id2`"),
        ("users", {"id": 1}, TypeError, "`users` has no argument `id`"),
        ("orders:{id}", {"id": None}, ValueError, "must not be null"),
        ("orders:{id}", {"id": ""}, ValueError, "must not be empty"),
        ("orders:{id}", {"id": [1]}, ValueError, "must not be a list"),
        ("orders:{id}", {"id": b"x"}, TypeError, 'arguments["id"] is a bytes'),
        ("orders:{id}", {"id": "x" * 255}, ValueError, "262 bytes"),
        ("orders:{id", {"id": 1}, ValueError, "brace without its partner"),
        ("{a}{b}", {"a": 1, "b": 2}, ValueError, "needs `:` or `/` between"),
        ("", {}, ValueError, "the channel has no name"),
    ],
)
def test_what_names_no_channel_is_refused(template: str, arguments: dict[str, object], error: type, says: str) -> None:
    with pytest.raises(error) as refused:
        subcast.channel(template, **arguments)  # type: ignore[arg-type]
    assert says in str(refused.value)
