"""A pruned node from outside: the window it serves, what it says beyond, and its database in other hands."""

import json
from pathlib import Path

import pytest

from tests.e2e.process import NodeProcess, Refused, eventually, flags_of, run, running, write_spec

pytestmark = pytest.mark.e2e

REFUSED = 1
KEPT = 2
SYSTEM_NUMBER = "0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac"


def test_a_pruned_node_serves_its_window_and_its_database_is_looked_after(tmp_path: Path) -> None:
    spec, base = write_spec(tmp_path / "spec.json"), tmp_path / "base"
    place = ("--chain", str(spec), "--base-path", str(base))
    modes = ("--state-pruning", str(KEPT), "--blocks-pruning", str(KEPT))
    with running(tmp_path / "log", *flags_of(spec, base), *modes) as node:
        eventually(lambda: node.finalized() > KEPT + 3, "finality")
        check_window(node)
        busy = run("revert", *place)
        assert (busy.returncode, busy.stderr.count("\n")) == (REFUSED, 1)
        assert "is in use by another node" in busy.stderr
        node.kill()
    assert json.loads(run("chain-info", *place, "--json").stdout)["statePruning"] == str(KEPT)
    refused = run("node", *flags_of(spec, base), "--state-pruning", "archive", "--no-prometheus")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (REFUSED, "", 1)
    assert "was made with --state-pruning 2, it cannot become archive" in refused.stderr
    with running(tmp_path / "log", *flags_of(spec, base)) as node:  # without the flags: as it was made
        node.wait_height(KEPT + 5)
        check_window(node)


def check_window(node: NodeProcess) -> None:
    first = node.rpc("chain_getBlockHash", 1)
    with pytest.raises(Refused) as refused:
        node.rpc("state_getStorage", SYSTEM_NUMBER, first)
    assert refused.value.error == {
        "code": 4003,
        "message": f"Client error: Api called for an unknown Block: State already discarded for {first}",
    }
    assert node.rpc("chain_getBlock", first) is None
    assert node.rpc("chain_getHeader", first)["number"] == "0x1"
    final = node.rpc("chain_getFinalizedHead")
    assert node.rpc("chain_getBlock", final)["justifications"] is not None
    number = int.from_bytes(bytes.fromhex(node.rpc("state_getStorage", SYSTEM_NUMBER, final)[2:]), "little")
    assert number == node.number(final)
