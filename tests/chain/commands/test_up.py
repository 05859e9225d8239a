"""What the screen of a local network says of its processes: a person can kill them and start them again."""

import asyncio
import json
import shlex
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from chain.commands.failure import Failure
from chain.commands.network import LATE_NICENESS, Member, Network, Ports
from chain.commands.screen import Row, Screen, header
from chain.commands.up import start_workers, watch_processes
from tests.e2e.process import eventually


def test_the_header_says_which_process_is_which_node() -> None:
    nodes = [("node-alice", "ws://127.0.0.1:9944", 71), ("node-bob", "ws://127.0.0.1:9945", 72)]
    rows = [Row("Alice", "5" * 48, 10**12, "validator")]
    line = header("1", "data", Path("/net/chain.json"), Ports.at(None, 2), nodes, rows)
    assert "  text       http://127.0.0.1:8100\n  spec       /net/chain.json        --chain of" in line.text
    assert json.loads(line.to_json())["spec"] == "/net/chain.json"
    assert "  nodes      node-alice     ws://127.0.0.1:9944   process 71\n" in line.text
    assert "             node-bob       ws://127.0.0.1:9945   process 72\n" in line.text
    assert [each["pid"] for each in json.loads(line.to_json())["nodes"]] == [71, 72]


@pytest.mark.parametrize("role", ["node", "judge", "miner"])
def test_a_death_comes_with_the_command_that_undoes_it(
    role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It holds this interpreter, so that it works in a terminal where no environment is activated."""
    network = Network(tmp_path / "a network")
    network.home.mkdir()
    dead = Member("dead", role, ("-c", "import sys; sys.exit('no node')"))
    alive = Member("alive", "node", ("-c", "import time; time.sleep(600)"))
    for member in (dead, alive):
        network.start(member)
    try:
        eventually(lambda: network.running["dead"].poll() is not None, "the end")
        parsed = Namespace(exit=True, rounds=3, timeout=1e-9, json=True)
        with pytest.raises(Failure, match=r"^0 of 3 rounds closed"):
            asyncio.run(watch_processes(parsed, network, [dead, alive], Screen(1, tmp_path / "journal")))
    finally:
        network.stop()
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["code"]) == ("dead", 1)
    assert 0 <= told["seconds"] < 60
    assert shlex.split(told["command"]) == [sys.executable, *dead.arguments]
    assert told["text"].startswith(f"00:00:{told['seconds']:02} ⚠️  dead ended with code 1: no node   (log: ")
    assert told["text"].endswith(f"start it again, in another terminal: {told['command']}")


LOADING = """
import pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)
print("serving blobs at", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(("seconds", "loads"), [(600.0, True), (0.0, False)])
async def test_miners_load_before_judges_but_not_for_ever(
    seconds: float, loads: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chain.commands.up.LATE_SECONDS", seconds)
    network, torch = Network(tmp_path), tmp_path / "torch"
    miner = Member("miner", "miner", ("-c", LOADING, str(torch)), niceness=0)
    first = Member("first", "judge", ("-c", "import time; time.sleep(600)"), niceness=0)
    late = Member("late", "judge", first.arguments, niceness=LATE_NICENESS)
    parsed = Namespace(json=True)
    starting = asyncio.ensure_future(
        start_workers(parsed, network, [late, miner, first], Screen(1, tmp_path / "journal"))
    )
    try:
        await asyncio.to_thread(eventually, lambda: len(network.running) >= 2, "the first")
        if loads:
            assert list(network.running) == ["miner", "first"]
            torch.touch()
        await asyncio.to_thread(eventually, lambda: "late" in network.running, "the last")
        assert (list(network.running), network.is_ready(miner)) == (["miner", "first", "late"], loads)
    finally:
        starting.cancel()
        network.stop()
