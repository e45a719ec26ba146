"""Names of source files as their author knows them: relative to the module's folder."""

import os.path
from types import CodeType

SDK = os.path.dirname(os.path.abspath(__file__)) + os.sep
"""Frames of files below this one are ours, and of no interest to a resolver's author."""

_root: str | None = None


def set_root(folder: str) -> None:
    """Name files relative to `folder` from now on; the build calls it."""
    global _root
    _root = folder.rstrip(os.sep) + os.sep


def relative(path: str) -> str:
    """`path` relative to the module's folder, or as it is where it lies elsewhere."""
    if _root is not None:
        return path.removeprefix(_root)
    return os.path.basename(path)


def location(code: CodeType) -> str:
    """`file:line function`."""
    return f"{relative(code.co_filename)}:{code.co_firstlineno} {code.co_qualname}"
