"""The real polkadot-api (PAPI) against a real node, over the v1 groups of methods."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.process import NodeProcess

pytestmark = [pytest.mark.e2e, pytest.mark.node]


def test_a_wallet_works(polkadot_js: Callable[..., dict[str, Any]], node: NodeProcess) -> None:
    found = polkadot_js("papi.js", f"ws://127.0.0.1:{node.port}")
    assert found == {
        "name": "Assay Development",
        "decimals": 12,
        "deposit": True,
        "events": ["signed", "broadcasted", "txBestBlocksState", "finalized"],
        "ok": True,
        "received": str(10 * 10**12),
        "paid": True,
        "mine": True,
        "ed25519": True,
        "failure": [False, "Module", "Sudo", "RequireSudo"],
        "token": "FundsUnavailable",
        "invalid": "Stale",
        "watched": True,
        "finalized": True,
        "entries": True,
        "genesis": 0,
        "old": "0",
        "number": 0,
        "legacy": [],
        "groups": ["archive", "chainHead", "chainSpec", "transaction"],
    }
