"""The bounds of the tests themselves."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from bounds import INTERRUPTIBLE, line, reap, watch

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def a_lock() -> None:
    threading.Event().wait()


def an_event_loop() -> None:
    asyncio.run(asyncio.sleep(600))


def the_output_of_a_child() -> None:
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
        finally:
            child.kill()


def the_end_of_a_child() -> None:
    child = subprocess.Popen(SLEEPER)
    try:
        child.wait()
    finally:
        reap(child)


@pytest.mark.parametrize("wait", [a_lock, an_event_loop, the_output_of_a_child, the_end_of_a_child])
def test_a_test_that_waits_for_ever_fails(wait: Callable[[], None]) -> None:
    with pytest.raises(pytest.fail.Exception, match="here still waits after"), watch("here", 0.3):
        wait()


def test_a_line_that_does_not_come_is_a_timeout() -> None:
    child = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, text=True)
    try:
        with pytest.raises(TimeoutError, match="for a line"):
            line(child.stdout, 0.1)
    finally:
        reap(child)


def test_an_interrupt_reaches_a_child_of_a_background_job() -> None:
    program = f"{INTERRUPTIBLE}; import time; print('here', flush=True); time.sleep(600)"
    # As a shell starts what ends with `&` where there is no job control.
    command = ["sh", "-c", 'trap "" INT; exec "$0" -c "$1"', sys.executable, program]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert line(child.stdout) == "here"
        child.send_signal(2)
        _, said = child.communicate(timeout=60)
        assert "KeyboardInterrupt" in said
    finally:
        reap(child)
