"""What holds for every test."""

import logging
import os
import signal
import sys
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

settings.register_profile("at any speed", settings(), deadline=None)  # machines are shared and noisy
settings.load_profile("at any speed")


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """Undo what a program run in a test does to this process: its log and event loop are closed by then."""
    root, stops = logging.getLogger(), (signal.SIGINT, signal.SIGTERM)
    handlers, level, before = root.handlers[:], root.level, [signal.getsignal(stop) for stop in stops]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for stop, handler in zip(stops, before, strict=True):
        signal.signal(stop, handler)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Have torch, where it is loaded, compute on one thread, in fixtures of a module too.

    More of them wait for each other, which is CPU time, and may add up to other last bits.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what was skipped in full CI (ASSAY_CI=1), which promises everything a test may need but a GPU."""
    report = yield
    expected = hasattr(report, "wasxfail") or item.get_closest_marker("gpu") is not None
    if report.skipped and os.environ.get("ASSAY_CI") == "1" and not expected:
        report.outcome = "failed"
        report.longrepr = f"skipped, but full CI promises what it needs: {report.longrepr}"
    return report
