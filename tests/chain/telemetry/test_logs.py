"""What an operator reads: levels by target, two formats, no noise made by strangers."""

import json
import logging
import re
from collections.abc import Iterator

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from chain.telemetry.logs import LogSpecError, add, reset, set_up


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


def test_levels_are_added_and_reset_while_the_node_runs(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("info,babe=warn")
    add("sync=debug,babe=debug")
    for target in ("sync", "babe"):
        logging.getLogger(target).debug("seen of %s", target)
    reset()
    for target in ("sync", "babe"):
        logging.getLogger(target).debug("hidden")
    logging.getLogger("babe").info("hidden")
    logging.getLogger("sync").info("seen at last")
    seen = [line[20:] for line in capsys.readouterr().err.splitlines()]
    assert seen == ["seen of sync", "seen of babe", "seen at last"]


def test_a_bad_level_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("warn")
    for pattern in ("sync=debug,babe=loud", ",".join(f"t{number}=info" for number in range(300))):
        with pytest.raises(LogSpecError):
            add(pattern)
    logging.getLogger("sync").info("hidden")
    assert capsys.readouterr().err == ""


def test_colours_mark_what_an_operator_may_act_on(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(colour=True)
    logging.getLogger("sync").info("plain")
    logging.getLogger("sync").warning("yellow")
    plain, yellow = capsys.readouterr().err.splitlines()
    assert plain.startswith("\x1b[2m20")
    assert plain.endswith("\x1b[0m plain")
    assert yellow.startswith("\x1b[33m20")
    assert yellow.endswith(" yellow\x1b[0m")


def test_detail_shows_level_and_target(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(detailed=True)
    logging.getLogger("sync").info("words")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO sync: words\n", capsys.readouterr().err)
