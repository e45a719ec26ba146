"""The command line: `subcast`, or `python -m subcast`."""

import signal
import sys


def main() -> int:
    """Run the command line of this process; returns its exit status."""
    from subcast import _compiler, _native

    # Python would only note an interrupt until the command has ended.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _compiler.install()
    _compiler.point_to_the_builder()
    return _native.main(["subcast", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
