"""How programs log and end: one line each with nothing in it that drives a terminal, and a true exit code."""

import logging
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from miners.process import OneLine
from tests.e2e.process import assay

SECONDS = 120.0
"""for a program that takes a few to start, on a machine that does other things"""


def test_what_a_stranger_wrote_is_one_line_that_drives_no_terminal() -> None:
    said = "uid 5 | rejected: \x1b[31mred\nround 00007 | 🧠 all is well"
    record = logging.LogRecord("validator", logging.WARNING, "", 0, "%s", (said,), None)
    shown = OneLine("%(levelname)s %(message)s").format(record)
    assert shown == "WARNING uid 5 | rejected: �[31mred�round 00007 | 🧠 all is well"


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (("audit", "scores"), signal.SIGTERM),
        (("audit", "replay"), signal.SIGINT),
        (("model", "export", "--to", "{}/model"), signal.SIGTERM),
    ],
    ids=["scores", "replay", "export"],
)
def test_a_command_that_is_stopped_before_its_end_has_not_succeeded(
    tmp_path: Path, command: tuple[str, ...], number: signal.Signals
) -> None:
    """It waits for a node that takes connections and never answers."""
    words = [word.format(tmp_path) for word in command]
    with socket.create_server(("127.0.0.1", 0)) as node:
        node.settimeout(SECONDS)
        with started(*words, "--url", f"ws://127.0.0.1:{node.getsockname()[1]}") as program:
            connection, _ = node.accept()
            with connection:
                program.send_signal(number)
                said, problem = program.communicate(timeout=SECONDS)
    assert (program.returncode, said) == (130, ""), problem
    assert "Traceback" not in problem


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_stopped_has_done_its_work(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "text.py").write_text("x = 1\n" * 100)
    with started("provider", "--offline", "--port", "0", "--source", str(tmp_path)) as program:
        assert program.stdout is not None
        assert "data set 0x" in program.stdout.readline()
        program.send_signal(number)
        assert program.wait(SECONDS) == 0


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start an `assay` command, and end it."""
    with subprocess.Popen(
        assay(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            yield program
        finally:
            program.kill()
