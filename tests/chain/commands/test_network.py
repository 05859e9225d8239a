"""The processes of a local network: they are watched, and none is left behind."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from chain.commands.network import LOG_TAIL, Member, Network, Ports, members
from tests.e2e.process import eventually

SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


def member(name: str, program: str) -> Member:
    return Member(name, "miner", ("-c", program), nice=False)


def test_every_member_has_a_port_of_its_own() -> None:
    ports = Ports.at(9600)
    assert ports.taken_by(4) == [9600, 9601, 9602, 9603, 9604, 9605, 9606]
    listed = members(ports, ["Alice", "Bob"], ["Miner1", "Miner2"], Path("/home"))
    given = [one.arguments[one.arguments.index("--port") + 1] for one in listed[1:]]
    assert given == ["9602", "9603", "9604", "9605", "9606"]


def test_a_death_is_told_once_with_the_last_line(tmp_path: Path) -> None:
    network = Network(tmp_path)
    network.start(member("miner", "import sys; print('x' * 5000); print('the reason'); sys.exit(3)"))
    assert eventually(lambda: network.newly_dead() or None, "the death") == [("miner", 3, "the reason")]
    assert network.newly_dead() == []
    network.stop()


def test_a_last_line_is_short_and_a_log_may_be_empty(tmp_path: Path) -> None:
    network = Network(tmp_path)
    network.log_of("miner").write_text("x" * 10_000)
    assert network.last_line("miner") == "x" * LOG_TAIL
    network.log_of("miner").write_text("")
    assert network.last_line("miner") == ""


def test_stop_leaves_nothing_behind_and_gives_signals_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chain.commands.network.STOP_SECONDS", 0.5)
    network = Network(tmp_path)
    network.start(member("willing", SLEEPER))
    network.start(member("stubborn", STUBBORN))
    for name in ("willing", "stubborn"):
        eventually(lambda name=name: network.last_line(name) == "ready", "the start")  # type: ignore[misc]
    started = [process.pid for process in network.running.values()]
    handler = signal.getsignal(signal.SIGINT)
    network.stop()
    assert signal.getsignal(signal.SIGINT) is handler
    assert [pid for pid in started if psutil.pid_exists(pid)] == []
    assert {name: process.returncode for name, process in network.running.items()} == {
        "willing": -signal.SIGTERM,
        "stubborn": -signal.SIGKILL,
    }


def test_members_run_this_interpreter(tmp_path: Path) -> None:
    network = Network(tmp_path)
    network.start(member("miner", "import sys; print(sys.executable)"))
    eventually(lambda: network.newly_dead() or None, "the end")
    assert network.last_line("miner") == sys.executable
    network.stop()
