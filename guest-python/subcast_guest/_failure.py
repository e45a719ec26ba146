"""Exceptions as text for the host's log: bounded, and safe with objects that fight back.

An exception's `__str__` may raise, its class may lie about its name, its chain may be
endless. Nothing here lets any of that out.
"""

import linecache
from collections import deque
from types import TracebackType

from subcast_guest._sources import SDK, relative

MESSAGE_LIMIT = 1024
"""Characters of a message."""

TRACEBACK_LIMIT = 16 * 1024
"""Bytes of a traceback."""

_FIRST_FRAMES = 8
_LAST_FRAMES = 24
_CHAIN = 4
_LINE = 200
_INDESCRIBABLE = "an exception that cannot be described"
_IMPORT_HINT = " (modules are loaded when the component is built: import it at the top of your module)"


def describe(error: BaseException, *, hint: bool = True) -> str:
    """`TypeName: text`, of any exception; with a `hint` on what it means here, where there is one."""
    try:
        name = type.__dict__["__name__"].__get__(type(error))
        try:
            text = str.__str__(str(error))  # which may be of a subclass
        except BaseException as second:
            second_name = type.__dict__["__name__"].__get__(type(second))
            text = f"<its text cannot be read: {second_name}>"
        if hint and isinstance(error, ModuleNotFoundError):
            text += _IMPORT_HINT
        return printable(f"{name}: {text}" if text else name, MESSAGE_LIMIT)
    except BaseException:
        return _INDESCRIBABLE


def trace(error: BaseException) -> str | None:
    """The traceback without our own frames; `None` where nothing of the author's remains."""
    try:
        parts: list[str] = []
        current: BaseException | None = error
        seen: set[int] = set()
        while current is not None and len(parts) < _CHAIN and id(current) not in seen:
            seen.add(id(current))
            frames = _frames(current.__traceback__)
            heading = "Traceback (most recent call last):\n" if frames else ""
            parts.append(f"{heading}{frames}{describe(current, hint=False)}")
            if current.__cause__ is not None:
                current, link = current.__cause__, "which was the direct cause of:"
            elif current.__context__ is not None and not current.__suppress_context__:
                current, link = current.__context__, "during whose handling came:"
            else:
                break
            parts[-1] = f"{link}\n\n{parts[-1]}"
        return _bounded("\n\n".join(reversed(parts)), TRACEBACK_LIMIT)
    except BaseException:
        return None


def printable(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, all of which UTF-8 can carry."""
    if type(text) is not str:
        text = str.__str__(text)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _bounded(text: str, limit: int) -> str:
    """At most `limit` bytes: the end of a traceback says more than its middle."""
    content = text.encode("utf-8", "replace")
    if len(content) > limit:
        mark = b"\n[...]\n"
        head = limit // 4
        tail = limit - head - len(mark)
        content = content[:head] + mark + content[-tail:]
    return content.decode("utf-8", "ignore")


def _frames(traceback: TracebackType | None) -> str:
    first: list[str] = []
    last: deque[TracebackType] = deque(maxlen=_LAST_FRAMES)
    omitted = 0
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(SDK):
            if len(first) < _FIRST_FRAMES:
                first.append(_frame(traceback))
            else:
                omitted += len(last) == _LAST_FRAMES
                last.append(traceback)
        traceback = traceback.tb_next
    if omitted:
        first.append(f"  [{omitted} more frames]\n")
    return "".join(first) + "".join(map(_frame, last))


def _frame(traceback: TracebackType) -> str:
    code = traceback.tb_frame.f_code
    line = traceback.tb_lineno
    text = f'  File "{relative(code.co_filename)}", line {line}, in {code.co_qualname}\n'
    source = linecache.getline(code.co_filename, line or 0).strip()
    return f"{text}    {source[:_LINE]}\n" if source else text
