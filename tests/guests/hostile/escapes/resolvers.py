"""Hostile resolvers that look for a way out, at other modules' data, or for a way to outlive their call.

What each tries and what stops it is the table in `tests/it/hostile_guests.rs`.
"""

import asyncio
import builtins
import gc
import importlib
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from wit_world.imports import fetch, kv, settings

from subcast_guest import Context, _json, _runner, current_event, subscription

Resolver = Callable[..., Any]


def _import(name: str) -> Any:
    """The module, or why there is none. Imported while the component is built, where more is there than later."""
    try:
        return importlib.import_module(name)
    except BaseException as error:
        return error


socket = _import("socket")
subprocess = _import("subprocess")
ctypes = _import("ctypes")
signal = _import("signal")
multiprocessing = _import("multiprocessing")
mmap = _import("mmap")
fcntl = _import("fcntl")
faulthandler = _import("faulthandler")
BUILT = time.time()


def attack(function: Resolver) -> Resolver:
    """A field by the function's name, in camel case, on the channel of all attacks."""
    first, *rest = function.__name__.split("_")
    return subscription(first + "".join(map(str.capitalize, rest)), channel="attacks")(function)


def tried(attempts: dict[str, Callable[[], Any]]) -> dict:
    """What came of each attempt that did not raise; how many did."""
    succeeded = {}
    for name, attempt in attempts.items():
        try:
            succeeded[name] = repr(attempt())[:200]
        except Exception:
            continue
    return {"seq": len(attempts) - len(succeeded), "told": succeeded}


@attack
def fine(event: dict, variables: dict) -> dict:
    return {"seq": event["seq"]}


@attack
async def fine_later(event: dict, variables: dict) -> dict:
    await asyncio.sleep(0)
    return {"seq": event["seq"]}


@attack
def ends(event: dict, variables: dict) -> dict:
    """Costs the instance, and with it whatever was spoilt in it."""
    os._exit(1)


# --- ways out ---


@attack
def looks_around(event: dict, variables: dict) -> dict:
    return {
        "seq": 1,
        "told": {
            "environment": dict(os.environ),
            "arguments": sys.argv[1:],
            "host": [platform.node(), os.uname().nodename] if hasattr(os, "uname") else [platform.node()],
            "user": os.getuid() if hasattr(os, "getuid") else None,
        },
    }


@attack
def reads_files(event: dict, variables: dict) -> dict:
    paths = ["/etc/passwd", "/proc/self/environ", "/proc/self/maps", "/dev/null", "../subcast.toml", __file__]
    attempts: dict[str, Callable[[], Any]] = {f"open {path}": lambda path=path: open(path).read() for path in paths}
    attempts |= {f"list {path}": lambda path=path: os.listdir(path) for path in ["/", ".", "..", "/proc", "/tmp"]}
    attempts |= {f"stat {path}": lambda path=path: os.stat(path) for path in ["/", "/etc/passwd"]}
    attempts |= {f"descriptor {number}": lambda number=number: os.fstat(number) for number in range(3, 100)}
    attempts |= {f"read {number}": lambda number=number: os.read(number, 1) for number in range(3, 100)}
    return tried(attempts)


@attack
def writes_files(event: dict, variables: dict) -> dict:
    return tried(
        {
            "open": lambda: open("/tmp/hostile", "w"),
            "here": lambda: open("hostile", "w"),
            "mkdir": lambda: os.mkdir("/tmp/hostile"),
            "symlink": lambda: os.symlink("/etc/passwd", "passwd"),
            "unlink": lambda: os.unlink(__file__),
            "rename": lambda: os.rename("/etc/passwd", "/tmp/passwd"),
            "chdir": lambda: os.chdir("/tmp"),
        }
    )


@attack
def reads_input(event: dict, variables: dict) -> dict:
    return {"seq": 1, "told": [sys.stdin.read(), tried({"input": input})["told"]]}


@attack
def opens_sockets(event: dict, variables: dict) -> dict:
    port = event["port"]

    def connect(family: str, address: Any) -> Callable[[], Any]:
        return lambda: socket.socket(getattr(socket, family), socket.SOCK_STREAM).connect(address)

    def listen() -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()

    return tried(
        {
            "connect": connect("AF_INET", ("127.0.0.1", port)),
            "connect 6": connect("AF_INET6", ("::1", port)),
            "metadata": connect("AF_INET", ("169.254.169.254", 80)),
            "listen": listen,
            "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
            "names": lambda: socket.getaddrinfo("example.com", 80),
            "localhost": lambda: socket.getaddrinfo("localhost", 80),
            "this host": lambda: socket.gethostbyname(socket.gethostname()),
            "url": lambda: importlib.import_module("urllib.request").urlopen(f"http://127.0.0.1:{port}/metrics"),
        }
    )


@attack
def starts_processes(event: dict, variables: dict) -> dict:
    return tried(
        {
            "system": lambda: os.system("true"),
            "popen": lambda: os.popen("true").read(),
            "fork": lambda: os.fork(),
            "exec": lambda: os.execv("/bin/true", ["true"]),
            "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
            "run": lambda: subprocess.run(["true"]),
            "multiprocessing": lambda: multiprocessing.Process(target=print).start(),
            "kill": lambda: os.kill(1, 9),
            "kill the parent": lambda: os.kill(os.getppid(), 9),
        }
    )


@attack
def kills_itself(event: dict, variables: dict) -> dict:
    signal.raise_signal(9)
    return {"seq": 1}


@attack
def starts_threads(event: dict, variables: dict) -> dict:
    return tried(
        {
            "thread": lambda: threading.Thread(target=print).start(),
            "timer": lambda: threading.Timer(1, print).start(),
            "executor": lambda: importlib.import_module("concurrent.futures").ThreadPoolExecutor().submit(print),
            "raw": lambda: importlib.import_module("_thread").start_new_thread(print, ()),
        }
    )


@attack
def reaches_for_memory(event: dict, variables: dict) -> dict:
    return tried(
        {
            "ctypes": lambda: ctypes.string_at(0, 16),
            "ctypes again": lambda: importlib.import_module("ctypes"),
            "mmap": lambda: mmap.mmap(-1, 1 << 20),
            "fcntl": lambda: fcntl.ioctl(0, 0),
        }
    )


@attack
def reads_address_zero(event: dict, variables: dict) -> dict:
    # A crash in native code: here, of the instance at most.
    faulthandler._sigsegv()
    return {"seq": 1}


@attack
def corrupts_its_memory(event: dict, variables: dict) -> dict:
    # Bytecode that the interpreter trusts: a stack that is popped below its bottom.
    def victim() -> None:
        return None

    code = victim.__code__
    victim.__code__ = code.replace(co_code=bytes([importlib.import_module("dis").opmap["POP_TOP"], 0] * 4000))
    victim()
    return {"seq": 1}


@attack
def uses_what_is_not_granted(event: dict, variables: dict) -> dict:
    request = fetch.Request("GET", "http://127.0.0.1/", [], None, None)
    answers = {
        "fetch": lambda: repr(fetch.send([request] * 1000)[0]),
        "get": lambda: kv.get("a"),
        "set": lambda: kv.set("a", b"x" * 10**6, None),
        "increment": lambda: kv.increment("a", 1, None),
        "settings": lambda: settings.get("password"),
    }
    found = {}
    for name, ask in answers.items():
        try:
            found[name] = repr(ask())
        except BaseException as error:
            found[name] = repr(getattr(error, "value", error))
    return {"seq": 1, "told": found}


# --- others' data ---

seen: list[Any] = []


@subscription("remembers", channel="attacks", events=["remembers"])
def remembers(event: dict, variables: dict, context: Context) -> dict:
    """What a subscriber shows is kept for the next, of whatever tenant."""
    before = list(seen)
    seen.append({"claims": context.claims, "event": current_event().id != ""})
    return {"seq": len(before), "told": [each["claims"].get("sub", "anonymous") for each in before]}


@attack
def searches_the_heap(event: dict, variables: dict) -> dict:
    """Looks for what the neighbour module was told: it has a mark in its events."""
    mark = "only for the " + "neighbour"
    marked = sum(mark in each for each in gc.get_objects() if isinstance(each, dict) and each.get("mark"))
    return {"seq": marked}


# --- spoiling what comes after ---


@attack
def patches_json(event: dict, variables: dict) -> dict:
    json.dumps = json.loads = lambda *_, **__: {"forged": True}  # type: ignore[assignment]
    json.JSONEncoder.default = json.JSONEncoder.iterencode = json.dumps  # type: ignore[assignment, method-assign]
    json.JSONDecoder.decode = json.loads  # type: ignore[assignment, method-assign]
    return {"seq": 1}


@attack
def patches_the_encoder(event: dict, variables: dict) -> dict:
    _json.encode = _runner.encode = lambda value: '{"seq":666,"told":"forged"}'
    return {"seq": 1}


@attack
def patches_the_encoder_into_nonsense(event: dict, variables: dict) -> dict:
    _json.encode = _runner.encode = lambda value: "}]forged"
    return {"seq": 1}


@attack
def patches_the_runner(event: dict, variables: dict) -> dict:
    def resolve(self: Any, field: str, jobs: str, envelopes: str, deadline_ms: int) -> str:
        while True:
            pass

    _runner.Runner.resolve.__code__ = resolve.__code__
    return {"seq": 1}


@attack
def patches_the_failures(event: dict, variables: dict) -> dict:
    def failed(*_: object) -> str:
        raise SystemExit

    _runner.failed = _runner.describe = _runner.trace = failed  # type: ignore[assignment]
    raise ValueError("a secret of the resolver")


@attack
def patches_exceptions(event: dict, variables: dict) -> dict:
    builtins.BaseException = builtins.Exception = KeyError  # type: ignore[misc, assignment]
    return {"seq": 1}


@attack
def closes_the_loop(event: dict, variables: dict) -> Any:
    async def close() -> dict:
        asyncio.get_running_loop().close()
        return {"seq": 1}

    return close()


@attack
def traces_what_follows(event: dict, variables: dict) -> dict:
    def tracer(*_: object) -> None:
        while True:
            pass

    threading.setprofile(tracer)
    sys.setprofile(tracer)
    return {"seq": 1}


@attack
def leaves_a_collector_behind(event: dict, variables: dict) -> dict:
    def collect(*_: object) -> None:
        while True:
            pass

    gc.callbacks.append(collect)
    gc.set_threshold(1)
    return {"seq": 1}


# --- outliving the call ---


@attack
async def waits_for_ever(event: dict, variables: dict) -> dict:
    await asyncio.Event().wait()
    return {"seq": 1}


@attack
async def sleeps_beyond_the_call(event: dict, variables: dict) -> dict:
    await asyncio.sleep(3600)
    return {"seq": 1}


@attack
async def yields_for_ever(event: dict, variables: dict) -> dict:
    while True:
        await asyncio.sleep(0)


@attack
async def awaits_nonsense(event: dict, variables: dict) -> dict:
    class Nonsense:
        def __await__(self) -> Generator[Any, Any, Any]:
            yield {"neither": "a future", "nor": None}

    await Nonsense()
    return {"seq": 1}


background: set[Any] = set()


@attack
async def leaves_a_task_behind(event: dict, variables: dict) -> dict:
    async def stay() -> None:
        while True:
            await asyncio.sleep(0.001)

    background.add(asyncio.create_task(stay()))
    return {"seq": 1}


@attack
async def leaves_a_task_that_refuses_to_end(event: dict, variables: dict) -> dict:
    async def stay() -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except BaseException:
                pass

    background.add(asyncio.create_task(stay()))
    return {"seq": 1}


@attack
async def leaves_many_tasks(event: dict, variables: dict) -> dict:
    for _ in range(10**6):
        background.add(asyncio.ensure_future(asyncio.sleep(60)))
    return {"seq": 1}


@attack
async def refuses_to_be_closed(event: dict, variables: dict) -> dict:
    try:
        await asyncio.Event().wait()
    finally:
        while True:
            await asyncio.sleep(0)
    return {"seq": 1}


@attack
async def opens_connections(event: dict, variables: dict) -> dict:
    loop = asyncio.get_running_loop()
    succeeded = []
    for name, start in {
        "connection": lambda: asyncio.open_connection("127.0.0.1", event["port"]),
        "server": lambda: asyncio.start_server(print, "127.0.0.1", 0),
        "process": lambda: asyncio.create_subprocess_exec("true"),
        "executor": lambda: loop.run_in_executor(None, print),
        "thread": lambda: asyncio.to_thread(print),
    }.items():
        try:
            await start()
            succeeded.append(name)
        except Exception:
            continue
    return {"seq": len(succeeded), "told": succeeded}
