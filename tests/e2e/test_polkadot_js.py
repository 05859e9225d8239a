"""The real @polkadot/api against a real node."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.process import NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.node]

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


def test_a_wallet_works(polkadot_js: Callable[..., dict[str, Any]], node: NodeProcess) -> None:
    found = polkadot_js("client.js", f"ws://127.0.0.1:{node.port}")
    fee, statuses = found.pop("fee"), found.pop("statuses")
    estimated, paid = int(fee["estimated"]), int(fee["paid"])
    assert 0 <= estimated - paid < estimated // 1000  # each idle block before inclusion makes weight cheaper
    assert statuses[-2:] == ["InBlock", "Finalized"]
    assert found.pop("late") <= 2
    assert found.pop("maps") > 10
    assert found == {
        "chain": "Assay Development",
        "spec": "assay",
        "decimals": [12],
        "prefix": 42,
        "author": [ALICE],
        "metadata": [15, [14, 15]],
        "nonce": True,
        "asked": ["Normal", True],
        "received": str(10**12),
        "era": {"isMortal": True, "period": 8},
        "hashes": True,
        "derived": {"author": ALICE, "hash": True},
        "failure": "sudo.RequireSudo",
        "token": {"Token": "FundsUnavailable"},
        "batch": ["ItemCompleted", "ItemCompleted"],
    }


def test_accounts_that_are_more_than_one_key(
    polkadot_js: Callable[..., dict[str, Any]], node: NodeProcess
) -> None:
    bob = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"
    assert polkadot_js("accounts.js", f"ws://127.0.0.1:{node.port}") == {
        "ecdsa": {"address": "5C7C2Z5sWbytvHpuLTvzKunnnRwQxft1jiqrLD5rhucQ5S9X", "nonce": 1},
        "deposit": True,
        "multisig": True,
        "left": 0,
        "proxies": [{"delegate": bob, "proxyType": "NonTransfer", "delay": "0"}],
        "proxied": True,
        "filtered": "system.CallFiltered",
        "returned": True,
    }


def test_an_operator_s_questions_are_answered_in_types_it_decodes(
    polkadot_js: Callable[..., dict[str, Any]], node: NodeProcess
) -> None:
    node.wait_height(3)
    alice = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
    assert polkadot_js("operator.js", f"ws://127.0.0.1:{node.port}") == {
        "round": [0, 6667, 1],
        "proof": True,
        "justification": True,
        "rotated": [64, True],
        "inserted": [True, False],
        "slots": [[alice, 20]],
        "peerId": "12D3KooW",
        "nodeRoles": ["Authority"],
        "chainType": "Development",
        "peers": [0, 0],
        "synced": True,
        "dryRun": [True, True],
        "refused": "RequireSudo",
        "numbers": [1, 2],
        "pairs": [True],
        "child": 0,
    }
