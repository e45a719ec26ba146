"""The engine's log, as records of `logging`: logger `subcast`, and below it one per part, such as `subcast.guest`."""

import logging

from subcast import _native

_logger = logging.getLogger("subcast")


def follow_level() -> None:
    """Tell the engine what is wanted, so that it makes nothing else: loggers below `subcast` may only want less."""
    level = max(_logger.getEffectiveLevel(), _logger.manager.disable + 1)
    _native.set_log_level(min(level, 255))


def deliver() -> None:
    """Hand on what has come together."""
    rows, left_out = _native.log_records()
    for level, target, message, file, line, created, fields in rows:
        logger = logging.getLogger(_name(target))
        if logger.isEnabledFor(level):
            text = " ".join([message, *(f"{name}={value}" for name, value in fields)]).strip()
            extra = {"target": target, "fields": dict(fields)}
            # Without arguments the text is not taken for a format.
            record = logger.makeRecord(logger.name, level, file or "", line or 0, text, (), None, extra=extra)
            record.created, record.msecs = created, created % 1 * 1000
            logger.handle(record)
    if left_out:
        _logger.warning("%d records of the log were left out: the event loop was busy for too long", left_out)


def _name(target: str) -> str:
    parts = target.split("::")
    return ".".join(parts if parts[0] == "subcast" else ["subcast", *parts])
