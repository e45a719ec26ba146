"""Build a resolver module once, and print where the result is.

`python scripts/guest.py examples/market` builds `examples/market/resolvers.py` with
`subcast build` into `target/modules/market-DIGEST.wasm`, and prints that path. The
digest covers the module's files, the SDK, the contract and the version of
componentize-py: with all of them unchanged, the second call takes milliseconds.
Concurrent calls build once.
"""

import argparse
import fcntl
import hashlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(ROOT, os.environ.get("CARGO_TARGET_DIR", "target"))
SUBCAST = Path(os.environ.get("SUBCAST", TARGET / "debug" / "subcast"))
SUFFIXES = {".py", ".pyi", ".graphql", ".toml", ".wit", ".json"}


def build(source: Path) -> Path:
    """The component of `source`, a folder with `resolvers.py` or such a file itself.

    Raises `subprocess.CalledProcessError` when the build fails; what is wrong has then
    been printed.
    """
    source = source.resolve()
    file = source / "resolvers.py" if source.is_dir() else source
    name = file.parent.name if file.stem == "resolvers" else file.stem
    folder = TARGET / "modules"
    folder.mkdir(parents=True, exist_ok=True)
    module = folder / f"{name}-{digest(file.parent)[:16]}.wasm"

    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not module.exists():
            partial = module.with_suffix(".partial")
            # stdout is for the path alone.
            subprocess.run(
                [SUBCAST, "build", file, "-o", partial],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                env=environment(),
            )
            partial.replace(module)
            remove_older(folder, name, keep=module)
    return module


def environment() -> dict[str, str]:
    """Our environment, with the componentize-py that lies beside this Python."""
    beside = Path(sys.executable).parent / "componentize-py"
    if "SUBCAST_COMPONENTIZE_PY" in os.environ or not beside.exists():
        return dict(os.environ)
    return os.environ | {"SUBCAST_COMPONENTIZE_PY": str(beside)}


def digest(folder: Path) -> str:
    """Covers everything that the result depends on, file names included."""
    hasher = hashlib.sha256()
    hasher.update(importlib.metadata.version("componentize-py").encode())
    for each in (folder, ROOT / "guest-python", ROOT / "wit"):
        for path in sources(each):
            content = path.read_bytes()
            label = f"\0{path.relative_to(each)}\0{len(content)}\0"
            hasher.update(label.encode() + content)
    return hasher.hexdigest()


def sources(folder: Path) -> Iterator[Path]:
    """The files below `folder` that can end up in a module, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        if path.suffix in SUFFIXES and path.is_file() and not hidden:
            yield path


def remove_older(folder: Path, name: str, keep: Path) -> None:
    """Delete builds of the same module from other sources (20 MB each)."""
    for path in folder.glob(f"{name}-*.wasm"):
        if path != keep and path.stem.rpartition("-")[0] == name:
            path.unlink()


def main() -> int:
    """Build what the command line names; 1 if that fails."""
    parser = argparse.ArgumentParser(description="Build a resolver module once.")
    parser.add_argument("source", type=Path, help="folder with resolvers.py, or a file")
    try:
        print(build(parser.parse_args().source))
    except subprocess.CalledProcessError as error:
        return error.returncode or 1
    except FileNotFoundError as error:
        print(f"{error.filename} was not found; `cargo build` makes it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
