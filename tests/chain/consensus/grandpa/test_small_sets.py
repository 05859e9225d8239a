"""Sets of three voters or fewer: their weights are not capped, and the node says what that means."""

from pathlib import Path

import pytest

from runtime.primitives.authority_weights import UNIT, authority_weights
from tests.chain.consensus.grandpa.test_driver import PAIRS, LedgerInMemory, vote_alone


@pytest.mark.parametrize(
    ("stakes", "decisive"), [([7], 1), ([5, 5], 2), ([90, 5, 5], 1), ([5, 5, 5], 3), ([90, 5, 5, 5], 0)]
)
async def test_who_can_stop_finality_alone_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stakes: list[int], decisive: int
) -> None:
    weights = authority_weights([stake * UNIT for stake in stakes])
    ledger = LedgerInMemory([(pair.public, weight) for pair, weight in zip(PAIRS, weights, strict=False)])
    caplog.set_level("INFO")
    await vote_alone(tmp_path, ledger, 0.1)
    count = len(stakes)
    warning = f"⚠️ {decisive} of {count} voters can stop finality alone; from four validators on nobody can"
    begins = f"👴 Starting new voter with set ID 0: {count} voters"
    assert caplog.messages == ([begins, warning] if decisive else [begins])
