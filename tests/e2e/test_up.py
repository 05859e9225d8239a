"""The main job, as a stranger runs it: `assay up` trains, judges and pays; a wallet reads the chain."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from substrateinterface import SubstrateInterface

from tests.e2e.process import free_ports, running

pytestmark = pytest.mark.e2e

ROUNDS = 2
NETUID = 1
PATIENCE = 600
"""seconds; a bound against hanging, not a measurement"""


@dataclass(frozen=True)
class Run:
    """A finished `assay up`, and a client of the chain it left."""

    lines: list[dict[str, Any]]
    home: Path
    client: SubstrateInterface

    def entries(self, pallet: str, item: str, *keys: object) -> list[tuple[object, object]]:
        """Return a storage map, decoded."""
        found = self.client.query_map(pallet, item, list(keys))
        return [(getattr(key, "value", key), value.value) for key, value in found]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run two rounds, then open the chain that is left with a node that only reads."""
    home = tmp_path_factory.mktemp("up")
    base = free_ports(19)
    done = subprocess.run(
        [sys.executable, "-m", "chain", "up", "--rounds", str(ROUNDS), "--exit", "--keep", str(home),
         "--port-base", str(base), "--timeout", str(PATIENCE), "--json"],
        capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    flags = ("--chain", str(home / "chain.json"), "--base-path", str(home / "node-alice"))
    with running(home / "reader.log", *flags) as node:
        client = SubstrateInterface(url=f"ws://127.0.0.1:{node.port}", auto_discover=False)
        yield Run([json.loads(line) for line in done.stdout.splitlines()], home, client)
        client.close()


def test_the_screen_tells_the_story(run: Run) -> None:
    screen = "\n".join(line["text"] for line in run.lines)
    for word in (
        "rpc ",
        "//Miner1",
        "round 1 opened",
        "update 0x",
        "scores",
        "held-out loss",
        "epoch at",
        "paid",
    ):
        assert word in screen


def test_the_default_network_has_every_role(run: Run) -> None:
    ready = [name for line in run.lines if line["event"] == "ready" for name in line["names"]]
    judges = ["judge-alice", "judge-bob", "judge-charlie", "judge-dave"]
    assert sorted(ready) == [*judges, "miner1", "miner2", "provider"]
    (started,) = [line for line in run.lines if line["event"] == "started"]
    nodes = ["node-alice", "node-bob", "node-charlie", "node-dave"]
    assert [node["name"] for node in started["nodes"]] == nodes
    assert all((run.home / name).is_dir() for name in (*ready, *nodes)), "each keeps a directory of its own"


def test_an_update_is_proven_with_the_specification_on_the_screen(run: Run) -> None:
    (started,) = [line for line in run.lines if line["event"] == "started"]
    assert f"  spec       {started['spec']} " in started["text"]
    proof = run.home / "update.json"
    prove = ("prove", "1", "1", "4", "--out", str(proof), "--url", run.client.url)
    for words in (prove, ("verify", str(proof), "--chain", started["spec"])):
        done = subprocess.run(
            [sys.executable, "-m", "chain", "audit", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "revealed in round 1 of subnet 1:" in done.stdout


def test_no_round_is_void_and_no_process_ends(run: Run) -> None:
    assert [line["text"] for line in run.lines if line["event"] in ("round_voided", "ended", "waiting")] == []


def test_a_program_reads_the_same_story(run: Run) -> None:
    closed = [line for line in run.lines if line["event"] == "round_closed"][:ROUNDS]
    assert [line["round"] for line in closed] == list(range(1, ROUNDS + 1))
    lineage = dict(run.entries("Training", "Lineage", NETUID))
    assert [line["model_root"] for line in closed] == [lineage[line["round"]]["new_root"] for line in closed]
    paid = [line for line in run.lines if line["event"] == "epoch" and line["paid"]]
    assert paid
    for line in paid:
        assert sum(each["incentive"] + each["dividend"] for each in line["payments"]) <= line["paid"]
    last = run.lines[-1]
    assert (last["event"], last["epochs_paid"]) == ("done", len(paid))


def test_every_revealed_hash_is_that_of_the_bytes(run: Run) -> None:
    for number in range(1, ROUNDS + 1):
        updates = [update for _, update in run.entries("ModelUpdates", "Updates", NETUID, number)]
        assert len(updates) == 2
        for update in updates:
            digest = update["digest"].removeprefix("0x")
            copies = list(run.home.glob(f"*/blobs/{digest[:2]}/{digest}"))
            assert copies, f"nobody keeps {digest}"
            for copy in copies:
                assert blake2b(copy.read_bytes(), digest_size=32).hexdigest() == digest
                assert copy.stat().st_size == update["length"]


def test_loss_fell_from_round_to_round(run: Run) -> None:
    before = []
    for number in range(1, ROUNDS + 1):
        scores = [rows for _, rows in run.entries("Verification", "Scores", NETUID, number)]
        assert len(scores) == 4, "all judges revealed"
        assert all(rows == scores[0] for rows in scores), "all judges measured the same"
        assert all(row["loss_after"] < row["loss_before"] for row in scores[0])
        before.append(scores[0][0]["loss_before"])
    assert before == sorted(before, reverse=True)
    assert before[-1] < 0.9 * before[0]


def test_the_model_moved_by_attested_roots(run: Run) -> None:
    lineage = dict(run.entries("Training", "Lineage", NETUID))
    assert sorted(lineage)[:ROUNDS] == list(range(1, ROUNDS + 1))
    roots = [lineage[number] for number in range(1, ROUNDS + 1)]
    for earlier, later in pairwise(roots):
        assert earlier["new_root"] == later["base_root"] != earlier["base_root"]
    for number in range(1, ROUNDS + 1):
        attested = {root for _, root in run.entries("Training", "Attestations", NETUID, number)}
        assert attested == {lineage[number]["new_root"]}


def test_weights_are_set_for_both_miners(run: Run) -> None:
    rows = dict(run.entries("Weights", "Weights", NETUID))
    assert sorted(rows) == [0, 1, 2, 3]
    for row in rows.values():
        assert sorted(uid for uid, _ in row) == [4, 5]
        assert max(weight for _, weight in row) == 65_535


def test_emission_paid_is_what_was_minted_less_what_is_carried(run: Run) -> None:
    value = {
        item: run.client.query("Incentive", item).value
        for item in ("Minted", "MintedToConsensus", "Paid", "TotalVesting")
    }
    carried = sum(amount for _, amount in run.entries("Incentive", "CarriedOver"))
    pots = sum(amount for _, amount in run.entries("Incentive", "Pots"))
    unallocated = run.client.query("Incentive", "Unallocated").value
    assert value["Paid"] > 0
    waiting = carried + pots + unallocated + value["TotalVesting"]
    assert value["Minted"] == value["Paid"] + waiting + value["MintedToConsensus"]


def test_issuance_is_the_sum_of_all_balances(run: Run) -> None:
    accounts = [account["data"] for _, account in run.entries("System", "Account")]
    held = sum(data["free"] + data["reserved"] for data in accounts)
    assert held == run.client.query("Balances", "TotalIssuance").value


def test_nothing_is_left_running(run: Run) -> None:
    mine = str(run.home).encode()
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            commands.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    assert [command for command in commands if mine in command and b"--directory" in command] == []
