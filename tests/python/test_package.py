"""The package as others see it."""

import subprocess
import sys
from pathlib import Path

from bounds import PATIENCE

import subcast_guest

SDK = Path(subcast_guest.__file__).parent


def test_all_public_names_exist() -> None:
    for name in subcast_guest.__all__:
        assert getattr(subcast_guest, name) is not None
    assert set(subcast_guest.__all__) >= {
        "subscription",
        "GraphQLError",
        "SKIP",
        "Completed",
        "Context",
        "current_event",
    }


def test_it_is_typed_and_every_module_is_private() -> None:
    assert (SDK / "py.typed").exists()
    assert all(path.name.startswith("_") for path in SDK.glob("*.py"))


def test_importing_it_brings_no_asyncio() -> None:
    program = "import subcast_guest, sys; sys.exit('asyncio' in sys.modules)"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, cwd=SDK.parent, check=False, timeout=PATIENCE).returncode == 0


def test_what_is_returned_reads_well() -> None:
    assert repr(subcast_guest.SKIP) == "SKIP"
    assert repr(subcast_guest.Completed()) == "Completed(<nothing>)"
    assert repr(subcast_guest.Completed({"a": 1})) == "Completed({'a': 1})"
    assert subcast_guest.Completed(1) == subcast_guest.Completed(1) != subcast_guest.Completed(2)
