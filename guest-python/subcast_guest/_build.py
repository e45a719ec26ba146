"""What runs once, while the component is built: the author's module is imported, checked and bound.

Its state afterwards is what every instance starts with. What goes wrong is written as
JSON into a file beside the application, for the host to read: the build tool's own
output is cut off after 10 kB.
"""

import gc
import importlib.util
import json
import linecache
import os.path
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType, TracebackType

from subcast_guest import _schema, _sources, _subscription
from subcast_guest._definition import Definition
from subcast_guest._errors import DefinitionError
from subcast_guest._failure import describe

REPORT = "report.json"


def load(application: str, file: str) -> None:
    """Import `sources/{file}` beside the module `application`. Leaves a report and raises where that fails."""
    home = os.path.dirname(os.path.abspath(application))
    folder = os.path.join(home, "sources")
    report = os.path.join(home, REPORT)
    # What remains if the interpreter ends in the middle.
    _write(report, "unfinished", "", "", "")
    with Printed() as printed:
        try:
            _import(folder, file)
            _check(_subscription.definitions, file)
            _schema.resolved = _schema.load(folder, file)
        except BaseException as error:
            _write(report, _kind(error), _message(error), _traceback(error, folder), printed.text())
            raise
        finally:
            sys.path[:] = [path for path in sys.path if path != folder]
    os.remove(report)
    _keep_sources(folder)


def _write(report: str, kind: str, message: str, traceback: str, printed: str) -> None:
    with open(report, "w", encoding="utf-8", errors="replace") as output:
        json.dump({"kind": kind, "message": message, "traceback": traceback, "printed": printed}, output)


class Printed:
    """Keeps the last of what a module prints while it is imported.

    The build tool takes 10 kB, and then breaks the pipe. The streams themselves stay:
    the module may hold on to them.
    """

    LIMIT = 4096

    def __init__(self) -> None:
        self._text = ""

    def __enter__(self) -> "Printed":
        for stream in (sys.stdout, sys.stderr):
            vars(stream)["write"] = self._keep
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (sys.stdout, sys.stderr):
            vars(stream).pop("write", None)

    def text(self) -> str:
        """The last of it."""
        return self._text

    def _keep(self, text: str) -> int:
        self._text = (self._text + text)[-self.LIMIT :]
        return len(text)


def _import(folder: str, file: str) -> ModuleType:
    name = os.path.splitext(os.path.basename(file))[0]
    if name in sys.modules:
        raise DefinitionError(f"{file} has the name of a Python module that is already loaded: rename it")
    _sources.set_root(folder)
    sys.path.insert(0, folder)
    specification = importlib.util.spec_from_file_location(name, os.path.join(folder, file))
    if specification is None or specification.loader is None:
        raise DefinitionError(f"{file} is not a Python file: name it resolvers.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def _check(definitions: Iterable[Definition], file: str) -> None:
    """Raise `DefinitionError` unless there are resolvers, one for each field."""
    owners: dict[str, Definition] = {}
    for each in definitions:
        first = owners.setdefault(each.field, each)
        if first is not each:
            raise DefinitionError(
                f"Subscription.{each.field} has two resolvers, {first.location} and {each.location}: remove one"
            )
    if not owners:
        raise DefinitionError(
            f'{file} has no subscription: decorate a function with @subscription("field", channel="…")'
        )


def _kind(error: BaseException) -> str:
    return "definition" if isinstance(error, DefinitionError) else "exception"


def _message(error: BaseException) -> str:
    if type(error) is DefinitionError:
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        remedy = "pure Python packages go beside the module: pip install --target=FOLDER PACKAGE"
        return f"{describe(error, hint=False)} ({remedy})"
    return describe(error)


def _traceback(error: BaseException, folder: str) -> str:
    """The author's part of the traceback, with files named as the author knows them."""
    try:
        top = _of_the_author(error.__traceback__, folder)
        lines = traceback.format_exception(type(error), error, top)
        return "".join(lines).replace(folder + os.sep, "").strip()
    except BaseException:
        return describe(error)


def _of_the_author(frame: TracebackType | None, folder: str) -> TracebackType | None:
    """Skips what leads from us to the author's module."""
    while frame is not None and not frame.tb_frame.f_code.co_filename.startswith(folder):
        frame = frame.tb_next
    return frame


def _keep_sources(folder: str) -> None:
    """Keep the author's source lines for tracebacks: there are no files where the component runs."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.startswith(folder):
            lines = linecache.getlines(path)
            # Without a modification time, `linecache` never looks for the file again.
            linecache.cache[path] = (sum(map(len, lines)), None, lines, path)


def freeze() -> None:
    """Take everything loaded so far out of the garbage collector's sight: it lives as long as the instance."""
    gc.collect()
    gc.freeze()
