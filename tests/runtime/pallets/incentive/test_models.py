"""Both functions of the epoch equal their slow models. `make epochs` compares many thousands."""

from dataclasses import replace

import pytest

from runtime.pallets.incentive.terms import EpochInput, EpochOutput
from runtime.primitives import int64
from tests.runtime.pallets.incentive import differential

SUBNETS = 120


def test_random_subnets_come_out_as_the_models_say() -> None:
    seen = differential.campaign(seed=1, epochs=SUBNETS)
    assert (seen["median"], seen["yuma3"]) == (2 * SUBNETS, 2 * SUBNETS)
    assert min(seen["median paid"], seen["yuma3 paid"]) > SUBNETS // 2


def test_where_bands_end_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int64, "BAND", 3)
    monkeypatch.setattr(int64, "CELLS", 16)
    assert differential.campaign(seed=2, epochs=15)["median paid"] > 0


@pytest.mark.parametrize("name", ["median", "yuma3"])
def test_a_bond_that_is_off_by_one_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = differential.MODELS[name]

    def wrong(epoch: EpochInput) -> EpochOutput:
        right = model(epoch)
        return replace(right, bonds=[[(j, value - 1) for j, value in row] for row in right.bonds])

    monkeypatch.setitem(differential.MODELS, name, wrong)
    with pytest.raises(AssertionError, match="seed 1, subnet "):
        differential.campaign(seed=1, epochs=SUBNETS)
