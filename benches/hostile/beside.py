"""Does a neighbour notice a hostile module?

For each hostile resolver of `tests/guests/hostile/`: the end-to-end p99 of the module `engine` (published over HTTP,
received over WebSocket), first in quiet, then while one hostile call is running all the time. The bar: at most twice
the quiet figure or 3 ms more per running hostile call, whichever is more; medians of the runs. Both are measured in
turns, because the machine changes its speed. At the end, modules with hostile declarations are deployed and removed all
the time instead.

    python benches/hostile/beside.py --binary target/release/subcast > table.md
    python benches/hostile/beside.py --only loopsForEver sleepsForAnHour --runs 1

All of it takes some 20 minutes. Progress goes to standard error, the table for `benches/README.md` to standard output.
Exits with 1 if a bar does not hold, or if the neighbour missed an event.
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import websockets

ROOT = Path(__file__).resolve().parents[2]
MODULES = ["hostile-resources", "hostile-answers", "hostile-escapes"]
DECLARED = "declared"
"""Not a module, but many: their declarations are hostile, and each is deployed over and over."""
TOKEN = "the-token-of-the-bench"
"""Of the host's admin routes."""

# Not hostile, or only to its own module.
HARMLESS = {"fine", "fineLater", "ends", "remembers"}
FORGERIES = ["300,000 errors", "300,000 numbers", "much", "a long failure"]
PER_CALL = 3.0
"""Milliseconds that one running hostile call may cost."""
NOT_HELD = " **no**"
QUIET_EVERY = 4
"""Rows that are compared with the same quiet figure."""


class Connection:
    """One WebSocket with one subscription."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    @classmethod
    async def subscribed(cls, address: str, query: str) -> "Connection":
        socket = await websockets.connect(
            f"ws://{address}/graphql", subprotocols=[websockets.Subprotocol("graphql-transport-ws")], max_size=None
        )
        await socket.send('{"type":"connection_init"}')
        await socket.recv()
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        await socket.send('{"type":"ping"}')
        while json.loads(await socket.recv())["type"] != "pong":
            pass
        return cls(socket)

    async def next(self) -> Any:
        """The next payload."""
        while True:
            message = json.loads(await self._socket.recv())
            if message["type"] == "next":
                return message["payload"]
            if message["type"] in ("error", "complete"):
                raise RuntimeError(f"the subscription ended: {message}")

    async def close(self) -> None:
        await self._socket.close()


class Publisher:
    """One HTTP connection, one event per request."""

    def __init__(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._address, self._reader, self._writer = address, reader, writer

    @classmethod
    async def connected(cls, address: str) -> "Publisher":
        host, port = address.split(":")
        return cls(address, *await asyncio.open_connection(host, int(port)))

    async def emit(self, channel: str, kind: str, data: Any) -> None:
        body = json.dumps({"channel": channel, "type": kind, "data": data}).encode()
        head = f"POST /events HTTP/1.1\r\nhost: {self._address}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        await self._reader.readexactly(int(size[1]) if size else 0)
        if b" 202 " not in answer[:20]:
            raise RuntimeError(answer.decode())


class Neighbour:
    """The module that behaves."""

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection, self._publisher, self._seq = connection, publisher, 0

    async def p99(self, seconds: float, rate: float) -> float:
        """Milliseconds, at `rate` events per second. Every event must arrive, in order."""
        count = max(int(seconds * rate), 20)
        first = self._seq + 1
        self._seq += count
        sent = [0.0] * count
        times: list[float] = []

        async def publish() -> None:
            start = time.perf_counter()
            for number in range(count):
                await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
                sent[number] = time.perf_counter()
                await self._publisher.emit("counts", "counted", {"seq": first + number})

        async def receive() -> None:
            for number in range(count):
                payload = await asyncio.wait_for(self._connection.next(), 30)
                times.append(time.perf_counter() - sent[number])
                expect(payload, first + number)

        await asyncio.gather(publish(), receive())
        return sorted(times)[int((count - 1) * 0.99)] * 1000


def expect(payload: Any, number: int) -> None:
    """This is the neighbour's next payload: nothing was lost, doubled or out of order."""
    if payload != {"data": {"counted": {"seq": number}}}:
        raise RuntimeError(f"the neighbour got {payload} instead of {number}")


def self_test() -> None:
    """A drop, a double and an inversion are found."""
    for numbers in ([1, 3], [1, 1, 2], [1, 3, 2]):
        found = ""
        try:
            for expected, number in enumerate(numbers, 1):
                expect({"data": {"counted": {"seq": number}}}, expected)
        except RuntimeError as error:
            found = str(error)
        if "instead of 2" not in found:
            raise RuntimeError(f"the fault in {numbers} is not found")


async def deploy(address: str, component: bytes) -> int:
    """Deploys and removes it until standard input ends; how often."""
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    print("ready", flush=True)
    times = 0
    while not end.done():
        for method, body in [("PUT", component), ("DELETE", b"")]:
            host, port = address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"{method} /admin/modules/{DECLARED} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n"
            head += f"authorization: Bearer {TOKEN}\r\ncontent-type: application/wasm\r\n"
            head += f"content-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.read()
            writer.close()
            if not re.match(rb"HTTP/1.1 (200|404|422)", answer):
                raise RuntimeError(answer.decode())
        times += 1
    return times


async def attack(address: str, field: str, selection: str, data: Any) -> int:
    """One hostile call after the other, until standard input ends; how many there were.

    In a process of its own, and one that gives way: reading what some of them answer is work that no host does, and
    attackers have machines of their own.
    """
    os.nice(10)
    if selection == DECLARED:
        return await deploy(address, Path(data).read_bytes())
    connection = await Connection.subscribed(address, f"subscription {{ {field} {{ {selection} }} }}")
    publisher = await Publisher.connected(address)
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    print("ready", flush=True)
    calls = 0
    while not end.done():
        await publisher.emit("attacks", field, data)
        answered = asyncio.create_task(connection.next())
        await asyncio.wait([answered, end], return_when=asyncio.FIRST_COMPLETED)
        calls += answered.done()
    return calls


class Attacker:
    """The process that attacks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def started(cls, address: str, field: str, selection: str, data: Any) -> "Attacker":
        what = json.dumps([address, field, selection, data])
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--attack", what, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{field} cannot be attacked with")
        return cls(process)

    async def stop(self) -> int:
        """How many calls were answered."""
        told, _ = await self._process.communicate(b"")
        if self._process.returncode != 0:
            raise RuntimeError("the attack failed")
        return int(told)


def sources(module: str) -> Path:
    """Where a guest's files are."""
    return ROOT / "tests/guests" / module.replace("-", "/")


def built(binary: Path, name: str) -> Path:
    """The component of a guest, kept by the digest of its sources."""
    digest = hashlib.sha256()
    for path in sorted([*sources(name).iterdir(), *(ROOT / "guest-python/subcast_guest").glob("*.py")]):
        if path.is_file():
            digest.update(path.read_bytes())
    folder = ROOT / "target/guests"
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"beside-{name}-{digest.hexdigest()[:16]}.wasm"
    if not output.exists():
        print(f"building {name}", file=sys.stderr)
        subprocess.run([binary, "build", sources(name) / "resolvers.py", "-o", output], check=True, stdout=sys.stderr)
    return output


def attacks(module: str) -> list[tuple[str, str, Any]]:
    """Name, field and data of every hostile call of a module."""
    if module == DECLARED:
        files = sorted((ROOT / "target/guests/declared").glob("*.wasm"))
        if not files:
            raise RuntimeError("first: cargo test --test it declarations_are_written_for_the_bench -- --ignored")
        return [(f"deploys: {file.stem}", DECLARED, str(file)) for file in files]
    fields = re.findall(r"^  (\w+): Out!", (sources(module) / "schema.graphql").read_text(), re.MULTILINE)
    listed: list[tuple[str, str, Any]] = []
    for field in fields:
        if field == "forges":
            listed += [(f"forges: {forgery}", field, {"forgery": forgery}) for forgery in FORGERIES]
        elif field not in HARMLESS:
            listed.append((field, field, {"seq": 1, "port": 1}))
    return listed


class Row:
    """One hostile call, and what the neighbour noticed of it in each run."""

    def __init__(self, attack: tuple[str, str, Any]) -> None:
        self.name, self.field, self.data = attack
        self.quiet: list[float] = []
        self.beside: list[float] = []
        self.calls = 0

    def is_wanted(self, only: list[str] | None) -> bool:
        return not only or self.field in only or self.name in only

    def __str__(self) -> str:
        before, after = statistics.median(self.quiet), statistics.median(self.beside)
        bar = max(2 * before, before + PER_CALL)
        verdict = "" if after <= bar else NOT_HELD
        calls = self.calls / len(self.quiet)
        return f"| {self.name} | {before:.1f} | {after:.1f} | {bar:.1f}{verdict} | {calls:.0f} |"


async def measure(address: str, rows: list[Row], options: argparse.Namespace) -> None:
    """One run of each row."""
    neighbour = Neighbour(
        await Connection.subscribed(address, "subscription { counted { seq } }"), await Publisher.connected(address)
    )
    await neighbour.p99(1, options.rate)  # it warms up
    quiet = 0.0
    for number, row in enumerate(rows):
        if number % QUIET_EVERY == 0:
            quiet = await neighbour.p99(options.seconds, options.rate)
        selection = "seq many" if row.name.startswith("forges: 300") else "seq told"
        if row.field == DECLARED:
            selection = DECLARED
        attacker = await Attacker.started(address, row.field, selection, row.data)
        beside = await neighbour.p99(options.seconds, options.rate)
        row.calls += await attacker.stop()
        row.quiet.append(quiet)
        row.beside.append(beside)
        print(f"{row.name}: {quiet:.1f} quiet, {beside:.1f} beside", file=sys.stderr)
        # Its last call may still be running.
        await asyncio.sleep(0.2 if "sleeps" not in row.field else 1.2)


async def serve(binary: Path, module: str, rows: list[Row], options: argparse.Namespace) -> None:
    """One run, on a host of its own: what one run has switched off would be quiet in the next."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "subcast.toml"
        tables = [f'[sandbox]\ncache_dir = "{ROOT}/target/guests/cache"\n[telemetry]\nlog = "error"\n']
        tables.append('[publish]\nanonymous = true\n[admin]\ntoken_env = "SUBCAST_ADMIN_TOKEN"\n')
        for name in ["engine", *([] if module == DECLARED else [module])]:
            tables.append(f'[[module]]\nname = "{name}"\npath = "{built(binary, name)}"\n')
        config.write_text("".join(tables))
        command = [binary, "serve", "--config", config, "--listen", "127.0.0.1:0"]
        environment = os.environ | {"SUBCAST_ADMIN_TOKEN": TOKEN}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        ) as host:
            assert host.stdout is not None
            line = host.stdout.readline()
            if "http://" not in line:
                raise RuntimeError(f"{module} is not served; try: {' '.join(map(str, command))}")
            try:
                await measure(line.split("http://")[1].strip(), rows, options)
            finally:
                host.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/subcast")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measurement")
    parser.add_argument("--rate", type=float, default=200, help="events of the neighbour per second")
    parser.add_argument("--only", nargs="*", metavar="FIELD")
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        print(asyncio.run(attack(*json.loads(options.attack))))
        return 0
    self_test()
    print(f"| beside | quiet p99, ms | beside p99, ms | bar, ms | hostile calls in {options.seconds:g} s |")
    print("|---|---|---|---|---|")
    failed = False
    for module in [*MODULES, DECLARED]:
        rows = [row for row in map(Row, attacks(module)) if row.is_wanted(options.only)]
        for _ in range(options.runs if rows else 0):
            asyncio.run(serve(options.binary, module, rows, options))
        for row in rows:
            print(row, flush=True)
            failed |= NOT_HELD in str(row)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
