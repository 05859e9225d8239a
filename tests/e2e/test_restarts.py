"""A node that is killed, started again, or started where it must not be."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from substrateinterface import Keypair, SubstrateInterface

from tests.e2e.process import (
    SLOT_MS,
    NodeProcess,
    eventually,
    flags_of,
    free_port,
    run,
    running,
    write_spec,
)

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("ASSAY_KILLS", "8"))
"""how often the node is killed; the nightly run asks for many more"""
BOB = Keypair.create_from_uri("//Bob")
PRE_DIGEST = "0x0642414245"
"""PreRuntime, engine BABE"""


class Spender:
    """Bob, who never stops spending; his client speaks HTTP and so does not mind a node that dies."""

    def __init__(self, url: str) -> None:
        self._client = SubstrateInterface(url=url, auto_discover=False)
        to = Keypair.create_from_uri("//Survivor").ss58_address
        self._call = self._client.compose_call(
            "Balances", "transfer_keep_alive", {"dest": to, "value": 10**12}
        )

    def transfer(self, nonce: int) -> str:
        """Return a signed transfer."""
        return str(self._client.create_signed_extrinsic(self._call, BOB, nonce=nonce).data)


def slot_of(header: dict[str, dict[str, list[str]]]) -> int:
    """Return the slot a header claims."""
    digest = next(log for log in header["digest"]["logs"] if log.startswith(PRE_DIGEST))
    raw = bytes.fromhex(digest[2:])
    return int.from_bytes(raw[12:20], "little")  # kind, engine, compact length, variant, authority, slot


class Watcher:
    """What an outsider has seen of the chain, over all its lives."""

    def __init__(self) -> None:
        self.finalized: tuple[int, str] | None = None
        self.sealed: dict[int, str] = {}

    def look(self, node: NodeProcess) -> None:
        """Note the heads; no slot may ever show two blocks."""
        final = node.rpc("chain_getFinalizedHead")
        self.finalized = max(self.finalized or (0, final), (node.number(final), final))
        best = node.rpc("chain_getBlockHash")
        header = node.rpc("chain_getHeader", best)
        if int(header["number"], 16):
            assert self.sealed.setdefault(slot_of(header), best) == best, "two blocks in one slot"

    def check(self, node: NodeProcess) -> None:
        """Nothing final may be gone."""
        if self.finalized is None:
            return
        number, block = self.finalized
        assert node.number() >= number
        assert node.rpc("chain_getBlockHash", number) == block


def nonce_at(node: NodeProcess, block: str | None = None) -> int:
    """Return Bob's nonce in the state of a block."""
    arguments = ["AccountNonceApi_account_nonce", "0x" + BOB.public_key.hex()]
    found = node.rpc("state_call", *arguments, *([] if block is None else [block]))
    return int.from_bytes(bytes.fromhex(found[2:]), "little")


def live(node: NodeProcess, spender: Spender, watcher: Watcher, seconds: float) -> None:
    """Keep the node busy for a while."""
    nonce, until = nonce_at(node), time.monotonic() + seconds
    while time.monotonic() < until:
        node.rpc("author_submitExtrinsic", spender.transfer(nonce))
        watcher.look(node)
        nonce += 1


def finality_goes_on(node: NodeProcess, watcher: Watcher) -> None:
    """Wait for two more final blocks, and for as many as there are for so many lives."""
    reached = max(node.finalized(), KILLS // 2)
    eventually(lambda: node.finalized() > reached + 1, "finality after the last kill")
    watcher.check(node)


def test_kill_9_loses_nothing_final_and_never_seals_a_slot_twice(tmp_path: Path) -> None:
    spec, base, port = write_spec(tmp_path / "spec.json"), tmp_path / "base", free_port()
    rng, watcher, spender, final_nonce = random.Random(1), Watcher(), None, 0
    for life in range(KILLS + 1):
        node = NodeProcess(tmp_path / f"log-{life}", *flags_of(spec, base), port=port)
        try:
            node.wait_up()
            watcher.check(node)
            assert nonce_at(node) >= final_nonce
            spender = spender or Spender(node.url)
            live(node, spender, watcher, rng.uniform(0.2, 2.5 * SLOT_MS / 1000))
            final_nonce = max(final_nonce, nonce_at(node, node.rpc("chain_getFinalizedHead")))
            watcher.look(node)
            if life == KILLS:
                finality_goes_on(node, watcher)
        finally:
            node.kill()
        assert [line for line in node.output().splitlines() if "not sealed" in line or "Trace" in line] == []
    assert watcher.finalized is not None
    assert watcher.finalized[0] >= KILLS // 2
    assert final_nonce > 0


def test_a_stopped_node_goes_on_where_it_was_and_nobody_else_does(tmp_path: Path) -> None:
    base = tmp_path / "base"
    flags = flags_of(write_spec(tmp_path / "spec.json"), base)
    quiet = ("--rpc-port", str(free_port()), "--no-prometheus")
    with running(tmp_path / "first", *flags) as node:
        node.wait_height(2)
        second = run("node", *flags, *quiet)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.splitlines() == [
            f"assay: {base}/chains/dev/guard/guard.lock is held by another process: "
            "is another node running with the same keys? stop it first"
        ]
        node.wait_height(node.number() + 1)
        genesis = node.rpc("chain_getBlockHash", 0)
        node.signal(signal.SIGTERM)
        assert node.wait() == 0

    def edit(spec: dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]) -> None:
        spec["genesis"]["runtimeGenesis"]["config"]["sudo"]["key"] = BOB.ss58_address

    edited = run("node", *flags_of(write_spec(tmp_path / "edited.json", edit), base), *quiet)
    assert edited.returncode == 1
    assert edited.stderr.splitlines() == [
        f"assay: the database at {base}/chains/dev/db was made for another chain, with genesis {genesis}: "
        "choose another base path, or purge the chain"
    ]
    with running(tmp_path / "second", *flags) as node:
        assert "best #0" not in node.output()
        node.wait_height(4)
