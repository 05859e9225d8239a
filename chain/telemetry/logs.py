"""Log output in the shapes operators grep for. Source: Substrate's default log format."""

import json
import logging
import time

from aiohttp.http_exceptions import HttpProcessingError

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
MAX_PATTERNS = 256
MAX_SHOWN = 40
LEVELS = {"error": 40, "warn": 30, "info": 20, "debug": 10, "trace": 5}


class PlainFormatter(logging.Formatter):
    """`2026-11-21 00:12:04 message`; level and target appear when asked for, in colour on a terminal."""

    def __init__(self, detailed: bool, colour: bool = False) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s: %(message)s" if detailed else "%(asctime)s %(message)s"
        )
        self.default_msec_format = "%s.%03d" if detailed else ""
        self.default_time_format = "%Y-%m-%d %H:%M:%S"
        self._colour = colour

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the time, dimmed in colour."""
        text = super().formatTime(record, datefmt)
        return f"{DIM}{text}{PLAIN}" if self._colour and record.levelname not in COLOURS else text

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line; what an operator may have to act on stands out in colour."""
        text = super().formatMessage(record)
        painted = COLOURS.get(record.levelname) if self._colour else None
        return f"{painted}{text}{PLAIN}" if painted else text


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        entry = {
            "time": stamp,
            "level": record.levelname,
            "target": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class LogSpecError(ValueError):
    """A -l argument is not `level` or `target=level,...`."""


def set_up(
    patterns: str = "info", *, detailed: bool = False, as_json: bool = False, colour: bool = False
) -> None:
    """Send logs to standard error; `patterns` as in `-l info,babe=debug`.

    Raises: LogSpecError.
    """
    levels = _parse(patterns)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else PlainFormatter(detailed, colour))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    _start.clear()
    _start.update({"": logging.INFO} | levels)
    reset()


def add(patterns: str) -> None:
    """Add levels to those in force.

    Raises: LogSpecError.
    """
    levels = _parse(patterns)
    if len(_changed | levels.keys()) > MAX_PATTERNS:
        raise LogSpecError(f"log levels of {MAX_PATTERNS} targets are set already: reset them first")
    _apply(levels)


def reset() -> None:
    """Return to the levels that `set_up` was given."""
    for target in _changed - _start.keys():
        logging.getLogger(target).setLevel(logging.NOTSET)
    _changed.clear()
    _apply(_start)


_start: dict[str, int] = {}
"""Levels by target, the root's under the empty name; logging is one for the process, and so is this."""
_changed: set[str] = set()


def _apply(levels: dict[str, int]) -> None:
    for target, level in levels.items():
        logging.getLogger(target or None).setLevel(level)
    _changed.update(levels)


def _parse(patterns: str) -> dict[str, int]:
    levels: dict[str, int] = {}
    parts = [part for part in patterns.split(",") if part]
    if len(parts) > MAX_PATTERNS:
        raise LogSpecError(f"{len(parts)} log levels, at most {MAX_PATTERNS} are allowed")
    for part in parts:
        target, _, level = part.rpartition("=")
        if level not in LEVELS:
            raise LogSpecError(f"log level {level[:MAX_SHOWN]!r} is not one of {', '.join(LEVELS)}")
        levels[target] = LEVELS[level]
    return levels


def _is_ours(record: logging.LogRecord) -> bool:
    """Say whether a web server's complaint is about us: a stranger's malformed HTTP must not fill the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
