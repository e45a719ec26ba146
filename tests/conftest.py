"""What holds for the tests of all Python suites: none of them can hang."""

from collections.abc import Iterator
from typing import Any

import pytest
from bounds import watch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Covers the fixtures, too."""
    with watch(item.nodeid):
        return (yield)
