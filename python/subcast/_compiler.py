"""How modules are compiled: in a child process, which is a Python of its own that runs nothing but the compiler."""

import os
import sys
from pathlib import Path

from subcast import _native

_RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from subcast import _native; sys.exit(_native.main(sys.argv))"


def install() -> None:
    """Tell the engine how to start it."""
    # Isolated: nothing of this application, of the user's site packages or of the current folder is imported.
    package = str(Path(__file__).resolve().parent.parent)
    _native.compile_with([sys.executable, "-I", "-S", "-c", _RUN, package, "compile"])


def point_to_the_builder() -> None:
    """Let builds use the `componentize-py` that was installed with this package, unless another one is wanted."""
    tool = Path(sys.executable).parent / "componentize-py"
    if tool.is_file():
        os.environ.setdefault("SUBCAST_COMPONENTIZE_PY", str(tool))
