"""What an operator reads: levels by target, two formats, no noise made by strangers."""

import json
import logging
from collections.abc import Iterator

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from chain.logs import LogSpecError, set_up


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Leave the loggers as they were."""
    loggers = [logging.getLogger(name) for name in ("", "babe", "sync", "aiohttp.server")]
    before = [(each, each.handlers[:], each.level, each.filters[:]) for each in loggers]
    yield
    for each, handlers, level, filters in before:
        each.handlers[:], each.filters[:] = handlers, filters
        each.setLevel(level)


def test_levels_are_set_by_target(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("warn,babe=debug")
    logging.getLogger("babe").debug("seen")
    logging.getLogger("sync").info("hidden")
    logging.getLogger("sync").warning("seen, too")
    assert [line[20:] for line in capsys.readouterr().err.splitlines()] == ["seen", "seen, too"]


@pytest.mark.parametrize("pattern", ["loud", "babe=", "=info,babe=x", "info=babe"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(LogSpecError, match="is not one of error, warn, info, debug, trace"):
        set_up(pattern)


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(as_json=True)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("sync").exception('two\nlines and a "quote"')
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["target"], entry["message"]) == (
        "ERROR",
        "sync",
        'two\nlines and a "quote"',
    )
    assert entry["exception"].endswith("ValueError: why")
    assert entry["time"].endswith("Z")


def test_a_strangers_malformed_http_is_not_logged_but_a_bug_is(capsys: pytest.CaptureFixture[str]) -> None:
    set_up()
    server = logging.getLogger("aiohttp.server")
    for problem in (BadHttpMessage("nonsense"), RuntimeError("a bug")):
        server.error("Error handling request", exc_info=problem)
    complaints = capsys.readouterr().err
    assert "a bug" in complaints
    assert "nonsense" not in complaints
