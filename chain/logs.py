"""Log output in the shapes operators grep for. Source: Substrate's default log format."""

import json
import logging
import time

from aiohttp.http_exceptions import HttpProcessingError

LEVELS = {"error": 40, "warn": 30, "info": 20, "debug": 10, "trace": 5}


class PlainFormatter(logging.Formatter):
    """`2026-11-21 00:12:04 message`; level and target appear when asked for."""

    def __init__(self, detailed: bool) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s: %(message)s" if detailed else "%(asctime)s %(message)s"
        )
        self.default_msec_format = "%s.%03d" if detailed else ""
        self.default_time_format = "%Y-%m-%d %H:%M:%S"


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


def set_up(patterns: str = "info", *, detailed: bool = False, as_json: bool = False) -> None:
    """Send logs to standard error; `patterns` as in `-l info,babe=debug`.

    Raises: LogSpecError.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else PlainFormatter(detailed))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    for pattern in filter(None, patterns.split(",")):
        target, _, level = pattern.rpartition("=")
        if level not in LEVELS:
            raise LogSpecError(f"log level {level!r} is not one of {', '.join(LEVELS)}")
        logging.getLogger(target or None).setLevel(LEVELS[level])


def _is_ours(record: logging.LogRecord) -> bool:
    """Say whether a web server's complaint is about us: a stranger's malformed HTTP must not fill the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
