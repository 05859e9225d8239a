"""A stash becomes a validator through the real @polkadot/api: BABE, GRANDPA and wallets follow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import flags_of, running, write_spec

pytestmark = [pytest.mark.e2e, pytest.mark.node]

EPOCH = 5


def quick_sessions(spec: dict[str, Any]) -> None:
    spec["genesis"]["runtimeGenesis"]["config"]["constants"]["Babe"]["EpochDuration"] = EPOCH


def test_a_stash_with_session_keys_authors_and_finalises(
    polkadot_js: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    spec = write_spec(tmp_path / "spec.json", quick_sessions)
    with running(tmp_path / "log", *flags_of(spec)) as node:
        node.wait_height(2)
        assert polkadot_js("validator.js", f"ws://127.0.0.1:{node.port}") == {
            "nextKeys": True,
            "owner": True,
            "info": [True, EPOCH, 2],
            "progress": True,
            "validators": 2,
            "setId": True,
            "weights": [5_000, 10_000],
            "disabled": 0,
        }
