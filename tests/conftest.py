"""What holds for every test."""

import logging
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

settings.register_profile("at any speed", settings(), deadline=None)  # machines are shared and noisy
settings.load_profile("at any speed")


@pytest.fixture(autouse=True)
def logs_go_where_they_went() -> Iterator[None]:
    """Undo what a program run in a test does to the root logger: its stream is closed after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


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
