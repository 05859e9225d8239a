"""Workers that die, cheat, come late, or lose their node: the rounds go on, and nobody prints a traceback."""

import asyncio as standard_text
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface

from miners.parameters import TrainingParameters
from miners.replica import genesis_weights
from tests.e2e.process import DEADLINE, NodeProcess, eventually, flags_of, free_port, write_spec

pytestmark = pytest.mark.e2e

SMALL = {
    "hidden": 16, "layers": 1, "heads": 2, "feed_forward": 32, "sequence": 32, "inner_steps": 2,
    "warmup_steps": 1, "batch_size": 2, "chunk": 256, "top_k": 16, "evaluation_sequences": 8,
}  # fmt: skip
"""A model that trains in a moment."""
WINDOWS = {
    "train_window": 60, "reveal_window": 60, "score_commit_window": 16, "score_reveal_window": 60,
    "attest_window": 24, "serving_rate_limit": 1, "newcomer_rounds": 1_000,
}  # fmt: skip
"""Blocks of half a second: long enough to start a killed program again on a busy machine."""
PATIENCE = 240.0
"""seconds one step may take: a whole round, where a phase lasts as long as it may, and slots are missed"""
NETUID = 1
HONEST, CHEAT = (Keypair.create_from_uri(suri).ss58_address for suri in ("//Miner1", "//Miner2"))
ALICE, BOB = 0, 1
"""uids of the genesis judges"""


def small_chain(spec: dict[str, Any]) -> None:
    """Change a specification to the small model and the long windows."""
    config = spec["genesis"]["runtimeGenesis"]["config"]
    numbers = config["subnets"]["1"]["hyperparameters"]
    numbers |= SMALL | WINDOWS
    root = genesis_weights(NETUID, TrainingParameters.from_integers(numbers).model).root()
    config["training"]["1"]["model_root"] = "0x" + root.hex()


class Worker:
    """A miner, judge or provider in its own process and directory."""

    def __init__(self, home: Path, name: str, program: str, *flags: str) -> None:
        self.log = home / f"{name}.log"
        self._command = [sys.executable, "-m", *program.split(), *flags, "--directory", str(home / name)]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(DEADLINE)

    def ended(self) -> int | None:
        """Return its exit code once it has ended by itself."""
        assert self._process is not None
        return self._process.poll()

    def output(self) -> str:
        """Return everything it has printed."""
        return self.log.read_text() if self.log.exists() else ""

    def stop(self) -> None:
        """End it if it runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


class Net:
    """A node and its workers; the chain is read through a wallet's client only."""

    def __init__(self, home: Path) -> None:
        """Start nothing yet."""
        self.home = home
        self.port = free_port()
        self.flags = flags_of(write_spec(home / "spec.json", small_chain), home / "base")
        self._opened = ExitStack()
        url = ("--url", f"ws://127.0.0.1:{self.port}")
        text = str(Path(standard_text.__file__).parent)
        source = ("--port", "0", "--source", text)
        self.provider = Worker(
            home, "provider", "chain provider", *url, "--key", "//Provider", "--wait", *source
        )
        self.miner = Worker(home, "miner", "miners.miner", *url, "--key", "//Miner1")
        self.cheat = Worker(home, "cheat", "chain miner", *url, "--key", "//Miner2", "--cheat", "nan")
        self.alice = Worker(home, "alice", "validators.validator", *url, "--key", "//Alice")
        self.bob = Worker(home, "bob", "chain validator", *url, "--key", "//Bob")
        self.survived = 0  # the round in which the miner was killed
        self.workers = [self.provider, self.miner, self.cheat, self.alice, self.bob]

    def start_node(self, *flags: str) -> None:
        """Start the node."""
        self.node = NodeProcess(self.home / "node.log", *(flags or self.flags), port=self.port)
        self._opened.callback(self.node.stop)
        self.node.wait_up()
        self.client = SubstrateInterface(f"ws://127.0.0.1:{self.port}", auto_discover=False)
        self._opened.callback(self.client.close)

    def restart_node(self, *flags: str) -> None:
        """Kill the node and start it again at the same port."""
        self.client.close()
        self.node.kill()
        self.start_node(*flags)

    def query(self, item: str, *keys: object) -> Any:
        """Return a storage value of the best block."""
        pallet, name = item.split(".")
        return self.client.query(pallet, name, list(keys)).value

    def height(self) -> int:
        """Return the number of the best block."""
        return int(self.client.get_block_number(self.client.get_chain_head()))

    def current(self) -> int:
        """Return the number of the open round."""
        return int(self.query("Training.CurrentRound", NETUID))

    def standing(self, miner: str) -> Any:
        """Return how far a miner is trusted."""
        return self.query("Verification.Standings", NETUID, self.query("Neurons.Uids", NETUID, miner))

    def round(self, number: int) -> Any:
        """Return a round."""
        return self.query("Training.Rounds", NETUID, number)

    def closed(self, number: int) -> Any:
        """Wait until a round is over, which must not be void, and return it."""
        found = eventually(lambda: ended(self.round(number)), f"the end of round {number}", PATIENCE)
        assert found["phase"] == "Closed", f"{found}\n{self.report()}"
        return found

    def caught_between(self, before: str, after: str, *last: object) -> int:
        """Wait for a moment at which somebody has done one thing in the open round, not yet the other."""

        def look() -> int | None:
            number = self.current()
            done = self.query(before, NETUID, number, *last) is not None
            return number if done and self.query(after, NETUID, number, *last) is None else None

        return eventually(look, f"a {before} without {after}", PATIENCE)

    def report(self) -> str:
        """Return what the workers printed."""
        return "\n".join(f"--- {worker.log.name}\n{worker.output()}" for worker in self.workers)

    def stop(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.stop()
        self._opened.close()


def ended(found: Any) -> Any:
    """Return a round that is over."""
    return found if found and found["phase"] in ("Closed", "Void") else None


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """A small network that the tests of this file harm, one after the other; Bob is not there yet.

    Its provider is there before the node is.
    """
    running = Net(tmp_path_factory.mktemp("net"))
    try:
        running.provider.start()
        waits = f"no node answers at ws://127.0.0.1:{running.port} yet ("
        eventually(lambda: waits in running.provider.output(), "a provider that waits", PATIENCE)
        running.start_node()
        for worker in (running.miner, running.cheat, running.alice):
            worker.start()
        yield running
        assert "Traceback" not in running.report(), running.report()
        assert "the replay failed" not in running.report(), running.report()
    finally:
        running.stop()


def test_a_worker_that_is_told_to_waits_for_its_node(net: Net) -> None:
    eventually(lambda: "named in block" in net.provider.output(), "work", PATIENCE)


def test_a_cheater_is_not_accepted_and_the_round_closes(net: Net) -> None:
    def both_revealed() -> int | None:
        number = net.current()
        revealed = [net.query("ModelUpdates.Updates", NETUID, number, miner) for miner in (HONEST, CHEAT)]
        return number if number and None not in revealed else None

    number = eventually(both_revealed, "a round with the cheater's payload", PATIENCE)
    accepted = net.closed(number)["accepted"]
    assert [each["hotkey"] for each in accepted] == [HONEST], net.report()
    assert "rejected: " in net.alice.output()


def test_the_owner_changes_a_number_on_the_way(net: Net) -> None:
    """From the next epoch on: whoever works then, or replays all of it later, has to take both numbers."""
    change = {"netuid": NETUID, "name": "top_k", "value": 8}

    def is_taken() -> bool:
        call = net.client.compose_call("Subnets", "set_hyperparameter", change)
        signed = net.client.create_signed_extrinsic(call, Keypair.create_from_uri("//Provider"))
        return bool(net.client.submit_extrinsic(signed, wait_for_inclusion=True).is_success)

    eventually(is_taken, "a change outside of the freeze window", PATIENCE)


def test_a_judge_that_comes_in_mid_round_catches_up(net: Net) -> None:
    eventually(lambda: net.current() >= 2, "a second round", PATIENCE)
    net.bob.start()

    def attested() -> int | None:
        numbers = range(net.current(), 0, -1)
        return next((n for n in numbers if net.query("Training.Attestations", NETUID, n, BOB)), None)

    number = eventually(attested, "an attestation of the late judge", PATIENCE)
    root = net.query("Training.Attestations", NETUID, number, BOB)
    assert net.closed(number)["new_root"] == root
    assert "DISAGREES" not in net.bob.output()


def test_a_cheater_is_replayed_by_two_judges_and_loses_its_seat(net: Net) -> None:
    eventually(lambda: net.query("Neurons.Uids", NETUID, CHEAT) is None, "an empty seat", PATIENCE)
    said = "audit: failed, 0.0 % agrees: its payload is malformed"
    for judge in (net.alice, net.bob):
        eventually(lambda log=judge.output: said in log(), f"a finding in {judge.log.name}", PATIENCE)
    assert eventually(net.cheat.ended, "the end of a miner without a seat", PATIENCE) == 4
    (told,) = [line for line in net.cheat.output().splitlines() if line.startswith("assay miner: ")]
    assert "has no seat in subnet 1 any more: it was slashed after failed audits of round" in told
    eventually(lambda: net.standing(HONEST)["audited"], "an audit that is passed", PATIENCE)


def test_a_miner_killed_after_its_commit_reveals_in_its_next_life(net: Net) -> None:
    def killed_in_between() -> int | None:
        number = net.caught_between("ModelUpdates.Commits", "ModelUpdates.Updates", HONEST)
        net.miner.kill()
        reached = net.height() + 2  # whatever it had sent is in a block by then
        eventually(lambda: net.height() >= reached, "two blocks", PATIENCE)
        net.miner.start()
        return number if net.query("ModelUpdates.Updates", NETUID, number, HONEST) is None else None

    number = eventually(killed_in_between, "a miner killed before it revealed", PATIENCE)
    assert HONEST in [each["hotkey"] for each in net.closed(number)["accepted"]], net.report()
    net.survived = number


def test_a_judge_killed_after_its_commit_reveals_in_its_next_life(net: Net) -> None:
    number = net.caught_between("Verification.ScoreCommits", "Verification.Scores", ALICE)
    net.alice.kill()
    net.alice.start()
    net.closed(number)
    assert net.query("Verification.Scores", NETUID, number, ALICE), net.report()


def test_workers_outlive_their_node(net: Net) -> None:
    number = net.current()
    net.restart_node()
    net.closed(number)
    for worker in (net.miner, net.alice, net.bob):
        assert worker.ended() is None
    assert "retrying until it is back" in net.miner.output()


def test_honest_work_passes_its_audits_through_all_of_this(net: Net) -> None:
    def passed() -> bool:
        standing = net.standing(HONEST)
        assert standing["withheld"] == 0, net.report()
        return bool(standing["audited"] >= net.survived)

    eventually(passed, "an audit of what was done since", PATIENCE)
    assert "the replay failed" not in net.report()


def test_a_miner_that_leaves_after_its_reveal_takes_nothing_with_it(net: Net) -> None:
    def handed_over() -> int | None:
        number = net.current()
        return number if f"round {number:05d} | 2 of 2 judges keep a copy" in net.miner.output() else None

    number = eventually(handed_over, "two copies of a payload", PATIENCE)
    assert net.miner.terminate() == 0
    assert HONEST in [each["hotkey"] for each in net.closed(number)["accepted"]], net.report()


def test_a_worker_ends_at_once_when_it_is_told_to(net: Net) -> None:
    assert net.bob.terminate() == 0


def test_a_judge_that_begins_when_all_miners_have_left_gets_the_whole_model(net: Net) -> None:
    flags = ("--url", f"ws://127.0.0.1:{net.port}", "--key", "//Bob")
    net.bob = Worker(net.home, "bob-again", "chain validator", *flags)
    net.workers.append(net.bob)
    net.bob.start()
    state = net.home / "bob-again" / "mirror.json"

    def has_looked_at_all() -> int | None:
        found = json.loads(state.read_text()) if state.exists() else {"round": 0}
        return found["round"] if found["round"] >= net.current() - 1 > 0 else None

    last = eventually(has_looked_at_all, "a whole mirror", PATIENCE)
    steps = [net.query("Training.Lineage", NETUID, number) for number in range(1, last + 1)]
    accepted = {each["digest"][2:] for step in steps if step for each in step["accepted"]}
    kept = {path.name for path in (state.parent / "blobs").rglob("*") if path.is_file()}
    assert kept == accepted
    assert len(accepted) >= 3
    assert {step["parameters"] for step in steps if step} == {1, 2}


def test_a_node_with_another_chain_ends_the_workers_with_one_line(net: Net) -> None:
    def other(spec: dict[str, Any]) -> None:
        small_chain(spec)
        spec["genesis"]["runtimeGenesis"]["config"]["subnets"]["1"]["hyperparameters"]["tempo"] += 1

    net.restart_node(*flags_of(write_spec(net.home / "other.json", other), net.home / "other"))
    for worker in (net.bob, net.alice):
        assert eventually(worker.ended, "the end of a worker", PATIENCE) == 1
        assert "came back with another chain" in worker.output().splitlines()[-1]


class NoNode(BaseHTTPRequestHandler):
    """Answers HTTP, and keeps no chain."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay silent."""


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of an HTTP server that is no node."""
    with HTTPServer(("127.0.0.1", 0), NoNode) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_what_is_no_node_is_said_in_one_line(web_server: int) -> None:
    other, closed = f"ws://127.0.0.1:{web_server}", f"ws://127.0.0.1:{free_port()}"
    said = {
        other: f"what answers at {other} speaks HTTP and takes no WebSocket (status 200): ",
        closed: f"no node answers at {closed} ([Errno 111] Connection refused): ",
        "http://127.0.0.1:1": "'http://127.0.0.1:1' is no node's address: ",
    }
    for url, expected in said.items():
        done = subprocess.run(
            [sys.executable, "-m", "chain", "register", "--key", "//Dave", "--url", url],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (3, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"assay: {expected}")
