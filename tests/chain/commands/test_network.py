"""The processes of a local network: they are watched, and none is left behind."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from chain.commands.network import LOG_TAIL, SPEC_FILE, Member, Network, Ports, members, write_spec
from chain.executor import Executor
from chain.network.discovery.addresses import parse_address
from chain.spec import ChainSpec, SpecError
from runtime.frame.testing import MemoryState
from tests.e2e.process import eventually

SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


def member(name: str, program: str) -> Member:
    return Member(name, "miner", ("-c", program), niceness=0)


def test_every_member_has_a_port_of_its_own(tmp_path: Path) -> None:
    ports = Ports.at(9600, validators=2)
    assert ports.taken_by(2, 2) == list(range(9600, 9611))
    listed = members(ports, ["Alice", "Bob"], ["Miner1", "Miner2"], tmp_path)
    flags = ("--rpc-port", "--prometheus-port", "--port")
    given = [
        one.arguments[at + 1] for flag in flags for one in listed for at in positions(one.arguments, flag)
    ]
    assert sorted(given) == [str(port) for port in ports.taken_by(2, 2)]


def positions(arguments: tuple[str, ...], flag: str) -> list[int]:
    return [at for at, argument in enumerate(arguments) if argument == flag]


def test_every_node_knows_all_others_before_any_runs(tmp_path: Path) -> None:
    """Keys are made once: a network that is kept has the same peers when it starts again."""
    validators = ["Alice", "Bob", "Charlie"]
    first, again = (members(Ports.at(9600, 3), validators, ["Miner1"], tmp_path) for _ in range(2))
    assert first == again
    for at, node in enumerate(first[:3]):
        known = node.arguments[node.arguments.index("--bootnodes") + 1 :]
        assert [parse_address(each).port for each in known] == [9606 + n for n in range(3) if n != at]


def test_torch_yields_to_nodes_and_judges_to_miners(tmp_path: Path) -> None:
    listed = members(Ports.at(9600, 3), ["Alice", "Bob", "Charlie"], ["Miner1"], tmp_path)
    niceness = {each.name: each.niceness for each in listed}
    assert {niceness[each.name] for each in listed if each.role == "node"} == {0}
    assert 0 < niceness["miner1"] == niceness["provider"] == niceness["judge-alice"]
    assert niceness["miner1"] < niceness["judge-bob"] == niceness["judge-charlie"]
    network = Network(tmp_path)
    network.start(Member("nice", "miner", ("-c", "import os; print(os.nice(0))"), niceness=7))
    eventually(lambda: network.newly_dead() or None, "the end")
    assert network.last_line("nice") == str(min(19, os.nice(0) + 7))


def test_a_directory_keeps_its_network(tmp_path: Path) -> None:
    write_spec(tmp_path, ["Alice", "Bob"], 2_000)
    write_spec(tmp_path, ["Alice", "Bob"], 2_000)
    spec = ChainSpec.load(str(tmp_path / SPEC_FILE))
    with pytest.raises(SpecError, match="holds a network with other validators"):
        write_spec(tmp_path, ["Alice", "Bob", "Charlie"], 2_000)
    state = MemoryState(spec.state())
    assert [weight for _, weight in Executor().grandpa_set(state)[0]] == [10_000, 10_000]


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
    monkeypatch.setattr("chain.commands.network.STOP_SECONDS", 3.0)
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


def test_a_process_is_ready_once_this_life_of_it_says_so(tmp_path: Path) -> None:
    """A network that is kept has the log of its earlier life."""
    network = Network(tmp_path)
    network.log_of("miner").write_text("serving blobs at http://127.0.0.1:1\n")
    slow = "import sys, time; sys.stdin.read(); print('serving blobs at', flush=True); time.sleep(600)"
    mute, loud, dead = member("miner", SLEEPER), member("loud", slow), member("dead", "")
    for each in (mute, loud, dead):
        network.start(each)
    eventually(lambda: network.last_line("miner") == "ready", "the start")
    eventually(lambda: network.is_ready(loud), "the work")
    eventually(lambda: network.has_settled(dead), "the end")
    assert [network.is_ready(each) for each in (mute, loud, dead)] == [False, True, False]
    assert [network.has_settled(each) for each in (mute, loud, dead)] == [False, True, True]
    network.stop()


def test_members_run_this_interpreter(tmp_path: Path) -> None:
    network = Network(tmp_path)
    network.start(member("miner", "import sys; print(sys.executable)"))
    eventually(lambda: network.newly_dead() or None, "the end")
    assert network.last_line("miner") == sys.executable
    network.stop()
