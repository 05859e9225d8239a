"""Links are tried on the loop of the tests and on that of a node."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


ON_BOTH = ("test_link.py", "test_departures.py")


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loops a test runs on."""
    return LOOPS if item.path.name in ON_BOTH else {"asyncio": LOOPS["asyncio"]}
