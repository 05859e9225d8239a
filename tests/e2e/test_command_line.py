"""How the `assay` command ends, as a shell sees it; tests/chain/test_cli.py has the mistakes one by one."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.process import DEADLINE, STANDS_STILL, NodeProcess, assay, flags_of, run, running, write_spec

pytestmark = pytest.mark.e2e

REFUSED, USAGE, INTERRUPTED = 1, 2, 130
SLOW_LIBRARY = """
import signal
try:
    print("loading", flush=True)
    signal.pause()
except BaseException:
    pass
"""


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    answer = run("node", "--chain", str(tmp_path / "none.json"))
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (USAGE, "", 1)


def test_a_taken_port_names_who_holds_it(node: NodeProcess) -> None:
    answer = run("node", "--dev", "--rpc-port", str(node.port), "--no-prometheus")
    assert answer.returncode == REFUSED
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith(f"assay: port {node.port} is taken by ")
    assert answer.stderr.endswith(
        f"(process {node.pid}): stop that program, or choose another with --rpc-port\n"
    )


def test_an_interrupt_while_the_program_loads_ends_it_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text(SLOW_LIBRARY)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        assay("node", "--dev"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "loading\n"
        program.send_signal(signal.SIGINT)
        assert program.communicate(timeout=DEADLINE) == ("", "")
    assert program.returncode == INTERRUPTED


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_node_its_processes_and_its_temporary_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, workers: int
) -> None:
    scratch, spec = tmp_path / "scratch", write_spec(tmp_path / "spec.json")
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with running(tmp_path / "log", *flags_of(spec), "--signature-workers", str(workers)) as node:
        children = psutil.Process(node.pid).children()
        assert len(children) == workers + bool(workers)  # one counts what multiprocessing shares
        with socket.create_connection(("127.0.0.1", node.port)):  # a client that stays does not hold it up
            node.wait_height(1)
            assert [each.name[:6] for each in scratch.iterdir()] == ["assay-"]
            os.killpg(node.pid, number)  # as a terminal does: the others get it, too
            assert node.wait() == 0
        ended, _ = psutil.wait_procs(children, DEADLINE)
        assert len(ended) == len(children)
        assert "Stopping: " in node.output()
        assert "Traceback" not in node.output()
    assert list(scratch.iterdir()) == []


def test_a_node_whose_chain_cannot_move_says_so(tmp_path: Path) -> None:
    with running(tmp_path / "log", "--chain", "dev", "--tmp") as node:
        assert STANDS_STILL in node.output()
