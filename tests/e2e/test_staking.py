"""Wallets read our staking: the real @polkadot/api bonds, nominates, is paid, and derives what Apps shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import flags_of, running, write_spec

pytestmark = [pytest.mark.e2e, pytest.mark.node]

ASY = 10**12
"""planck"""
COMMISSION = 20
"""Alice takes one twentieth."""


def short_eras(spec: dict[str, Any]) -> None:
    """Let every session, of four blocks, be an era."""
    constants = spec["genesis"]["runtimeGenesis"]["config"]["constants"]
    constants["Babe"]["EpochDuration"] = 4
    constants["Staking"]["SessionsPerEra"] = 1


def test_polkadot_js_bonds_nominates_and_is_paid(
    polkadot_js: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.json", short_eras)
    with running(tmp_path / "log", *flags_of(spec)) as node:
        found = polkadot_js("staking.js", f"ws://127.0.0.1:{node.port}")
    era = found.pop("era")
    payout, own, total = int(era["payout"]), int(era["own"]), int(era["total"])
    points, authors = era["points"]
    assert (points % 20, authors, payout % (ASY // 5)) == (0, 1, 0)
    cut = payout // COMMISSION
    mine, theirs = cut + (payout - cut) * own // total, (payout - cut) * 1_000 * ASY // total
    assert found == {
        "waiting": ["Charlie"],
        "account": {
            "nominators": ["Alice"],
            "redeemable": "0",
            "rewardDestination": "Staked",
            "total": str(1_000 * ASY),
        },
        "elected": [
            ["Alice", str(11_000 * ASY), 10**9 // COMMISSION, ["Dave"]],
            ["Bob", str(10_000 * ASY), 0, []],
            ["Charlie", str(5_000 * ASY), 0, []],
        ],
        "overview": [["Alice"], ["Alice", "Bob", "Charlie"], 64],
        "rewards": [[[["Alice"], False]], [[["Alice"], True]]],
        "paid": [["Alice", "Staked", str(mine)], ["Dave", "Staked", str(theirs)]],
        "claimed": [0],
        "unlocking": [[True, str(300 * ASY)]],
        "locked": str(1_000 * ASY + theirs),
        "refused": "InsufficientBond",
    }
