"""Python's `logging` in the host's log."""

import json
import logging
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from subcast_guest import _log

LEVELS = SimpleNamespace(TRACE="trace", DEBUG="debug", INFO="info", WARN="warn", ERROR="error")


class Log(NamedTuple):
    """A logger, and what reaches the host of it."""

    logger: logging.Logger
    lines: list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def log() -> Log:
    """A logger of no hierarchy, so that nobody else listens."""
    log = Log(logging.Logger("module", level=1), [])

    def write(level: str, text: str, fields: str) -> None:
        log.lines.append((level, text, json.loads(fields, parse_constant=pytest.fail)))

    log.logger.addHandler(_log.Handler(SimpleNamespace(Level=LEVELS, write=write)))
    return log


def test_levels_are_those_of_the_host(log: Log) -> None:
    for level in (5, 10, 20, 25, 30, 40, 50):
        log.logger.log(level, "at %d", level)
    assert [line[0] for line in log.lines] == ["trace", "debug", "info", "info", "warn", "error", "error"]
    assert log.lines[0][1:] == ("at 5", {"logger": "module"})


def test_extras_are_fields(log: Log) -> None:
    log.logger.info("m", extra={"user": 7, "tags": ["a"], "none": None})
    assert log.lines == [("info", "m", {"logger": "module", "user": 7, "tags": "['a']", "none": None})]


def test_exceptions_come_with_their_traceback(log: Log) -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        log.logger.exception("outer")
    assert log.lines[0][:2] == ("error", "outer")
    assert log.lines[0][2]["exception"].endswith("ValueError: inner")


def test_a_line_that_cannot_be_formatted_is_told(log: Log) -> None:
    class Mute:
        def __str__(self) -> str:
            raise ValueError

    log.logger.info("%d", "text")
    log.logger.info("m", extra={"mute": Mute()})
    assert log.lines[0][1] == "'%d' cannot be formatted: TypeError"
    assert log.lines[1][2]["mute"] == "<ValueError>"


def test_long_lines_are_cut(log: Log) -> None:
    log.logger.info("\ud800" * 1_000_000)
    assert len(log.lines[0][1]) == _log.MESSAGE_LIMIT


def test_a_host_that_fails_is_no_reason_to_fail() -> None:
    def write(*_: Any) -> None:
        raise OSError

    handler = _log.Handler(SimpleNamespace(Level=LEVELS, write=write))
    handler.handle(logging.LogRecord("n", 30, "f", 1, "m", (), None))


def test_numbers_that_json_lacks_are_texts(log: Log) -> None:
    log.logger.info("m", extra={"share": float("nan")})
    assert log.lines[0][2]["share"] == "nan"
