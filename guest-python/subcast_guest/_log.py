"""Python's `logging`, forwarded into the host's log."""

import json
import logging
import math
from types import ModuleType
from typing import Any

from subcast_guest._failure import printable, trace

MESSAGE_LIMIT = 8 * 1024
"""Characters of a message, and of each field."""

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class Handler(logging.Handler):
    """Sends each record to `log.write` of the host, with `extra=` and the logger's name as fields."""

    def __init__(self, host: Any) -> None:
        super().__init__()
        self._write = host.write
        level = host.Level
        self._levels = [
            (logging.ERROR, level.ERROR),
            (logging.WARNING, level.WARN),
            (logging.INFO, level.INFO),
            (logging.DEBUG, level.DEBUG),
        ]
        self._lowest = level.TRACE

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises an `Exception`: a log line is no reason for a resolver to fail."""
        try:
            level = next((name for least, name in self._levels if record.levelno >= least), self._lowest)
            message = printable(self.format_message(record), MESSAGE_LIMIT)
            self._write(level, message, fields(record))
        except Exception:
            pass

    @staticmethod
    def format_message(record: logging.LogRecord) -> str:
        """The message with its arguments, or a word on why it has none."""
        try:
            return record.getMessage()
        except Exception as error:
            return f"{record.msg!r} cannot be formatted: {type(error).__name__}"


def fields(record: logging.LogRecord) -> str:
    """JSON object with `logger`, `exception` if there is one, and whatever `extra=` carried."""
    found: dict[str, Any] = {"logger": record.name}
    for name, value in vars(record).items():
        if name not in _STANDARD:
            found[name] = value if value is None or isinstance(value, (bool, int)) else _scalar(value)
    if record.exc_info is not None and isinstance(record.exc_info[1], BaseException):
        found["exception"] = trace(record.exc_info[1])
    return json.dumps(found)


def _scalar(value: Any) -> float | str:
    try:
        if isinstance(value, float) and math.isfinite(value):
            return value
        return printable(str(value), MESSAGE_LIMIT)
    except Exception as error:
        return f"<{type(error).__name__}>"


def install(host: ModuleType) -> None:
    """Make the root logger send everything from INFO on to the host, which has levels of its own."""
    root = logging.getLogger()
    root.addHandler(Handler(host))
    if root.level == logging.WARNING:
        root.setLevel(logging.INFO)
