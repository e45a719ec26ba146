"""How many processes the ASGI server has been told to start."""

from collections.abc import Mapping, Sequence

_FLAGS = ("--workers", "-w")
_SERVERS = ("uvicorn", "hypercorn", "granian", "gunicorn", "fastapi")


def count_workers(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Of the command line of a known server, or of `$WEB_CONCURRENCY`; 1 if neither says anything."""
    told = environment.get("WEB_CONCURRENCY", "")
    if arguments and any(server in arguments[0] for server in _SERVERS):
        for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
            if flag in _FLAGS:
                told = value
            elif flag.startswith("--workers="):
                told = flag.removeprefix("--workers=")
    return int(told) if told.isdecimal() else 1
