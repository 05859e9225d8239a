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
