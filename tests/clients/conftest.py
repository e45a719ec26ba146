"""Fixtures of the client tests."""

from collections.abc import Iterator

import pytest
from host import Host


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of this test alone."""
    with Host() as running:
        yield running
