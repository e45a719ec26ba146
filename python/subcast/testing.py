"""Does an adapter keep the contract? For those who write one.

Let the server under test run `check_adapter(adapter)` where it would otherwise run
`GraphQLTransportWSHandler(manager).handle(adapter)`, and connect to it with `probe(url)`:

```python
assert await probe("ws://127.0.0.1:8000/graphql/subscriptions") == []
```
`probe` returns what it found wrong, one sentence for each fault. It needs the package `websockets`.
"""

import asyncio
import json
from typing import Any

from subcast._adapter import Disconnected, WebSocketAdapter
from subcast._handler import SUBPROTOCOL

_VALUE: Any = {"text": "Grüße ✓", "number": 1, "list": [None, True]}
_TEXT = json.dumps({"said": "ready text"})
_BYTES = json.dumps({"said": "ready bytes: ü"}, ensure_ascii=False).encode()
_CLOSE = (4403, "a reason")
_PATIENCE = 5.0
"""Seconds for each step."""


async def check_adapter(adapter: WebSocketAdapter) -> None:
    """The server's part: answers what `probe` asks. Never raises for a fault; `probe` tells it."""
    faults: list[str] = []
    if adapter.is_connected:
        faults.append("is_connected is true before accept()")
    offered = adapter.subprotocols
    if offered is not None and SUBPROTOCOL not in offered:
        faults.append(f"subprotocols is {list(offered)}, and the client offers {SUBPROTOCOL}")
    headers = list(adapter.headers)
    if ("x-subcast-probe", "1") not in headers:
        faults.append(
            "headers has not the header X-Subcast-Probe, or its name is not in lower case: "
            "without headers, pages of foreign origins may connect"
        )
    await adapter.accept(SUBPROTOCOL)
    if not adapter.is_connected:
        faults.append("is_connected is false after accept()")
    try:
        received = await asyncio.wait_for(adapter.receive_json(), _PATIENCE)
        if received != _VALUE:
            faults.append(f"receive_json() returned {received!r}, and the client sent {_VALUE!r}")
        text = await asyncio.wait_for(adapter.receive_text(), _PATIENCE)
        if not isinstance(text, str) or json.loads(text) != _VALUE:
            faults.append(f"receive_text() returned {text!r}, and the client sent {json.dumps(_VALUE)!r}")
        try:
            odd = await asyncio.wait_for(adapter.receive_json(), _PATIENCE)
            faults.append(f"receive_json() returned {odd!r} for a message that is not JSON, and must raise ValueError")
        except ValueError:
            pass
        await adapter.send_json(_VALUE)
        await adapter.send_bytes(_BYTES)
        await adapter.send_text(_TEXT)
        try:
            await asyncio.wait_for(adapter.receive_text(), _PATIENCE)
        except Disconnected:
            faults.append("receive_text() raised Disconnected although the client is there")
        await adapter.send_json({"faults": faults})
        await adapter.close(*_CLOSE)
        if adapter.is_connected:
            # Too late to be told otherwise: the server's log has to do.
            raise AssertionError("is_connected is true after close()")
    except TimeoutError:
        await adapter.close(1011, "the adapter received nothing")


async def probe(url: str) -> list[str]:
    """The client's part: what is wrong with the adapter behind `url`."""
    import websockets

    faults: list[str] = []
    connection = await websockets.connect(
        url, subprotocols=[websockets.Subprotocol(SUBPROTOCOL)], additional_headers={"X-Subcast-Probe": "1"}
    )
    if connection.subprotocol != SUBPROTOCOL:
        faults.append(f"accept({SUBPROTOCOL!r}) did not choose the subprotocol: it is {connection.subprotocol!r}")
    try:
        await connection.send(json.dumps(_VALUE))
        await connection.send(json.dumps(_VALUE))
        await connection.send("not JSON")
        for sender, expected in (
            ("send_json", _VALUE),
            ("send_bytes", json.loads(_BYTES)),
            ("send_text", json.loads(_TEXT)),
        ):
            message = await asyncio.wait_for(connection.recv(), _PATIENCE)
            if isinstance(message, bytes):
                faults.append(f"{sender}() sent a binary message; GraphQL clients read only text")
            try:
                found = json.loads(message)
            except ValueError:
                found = message
            if found != expected:
                faults.append(f"{sender}() sent {found!r} instead of {expected!r}")
        await connection.send(json.dumps(_VALUE))
        faults += json.loads(await asyncio.wait_for(connection.recv(), _PATIENCE))["faults"]
        await asyncio.wait_for(connection.wait_closed(), _PATIENCE)
        if (connection.close_code, connection.close_reason) != _CLOSE:
            faults.append(
                f"close{_CLOSE} arrived as {(connection.close_code, connection.close_reason)}: "
                "clients decide by the code whether they come back"
            )
    except TimeoutError:
        faults.append("nothing came within 5 s: a message was lost, or the server waits for one that it has got")
    except websockets.ConnectionClosed as closed:
        faults.append(f"the connection ended too early, with {closed.code} {closed.reason}")
    finally:
        await connection.close()
    return faults
