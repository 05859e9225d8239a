"""Both functions of the epoch equal their slow models. `make epochs` compares many thousands."""

from dataclasses import replace
from typing import Final

import pytest

from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.terms import EpochInput, EpochOutput
from runtime.primitives import int64
from tests.runtime.pallets.incentive import differential
from tests.runtime.pallets.incentive.networks import WHOLE, network

SUBNETS = 120
EDGES: Final[dict[str, tuple[EpochInput, bool]]] = {
    **{
        f"{n} judges, 1 miner": (network([9] * n + [0], {i: {n: 1} for i in range(n)}), True)
        for n in range(1, 5)
    },
    "one alone": (network([9], {0: {0: 1}}), False),
    "the owner alone": (network([9], {0: {0: 1}}, owner_uid=0), True),
    "rows without scores": (network([9, 9, 0], {0: {}, 1: {2: 0}}), False),
    "nobody active": (network([9, 9, 0], {0: {2: 1}}, last_update=[0] * 3), False),
    "all newer than what is said of them": (network([9, 9, 0], {0: {2: 1}}, registered=[90] * 3), False),
    "nobody staked": (network([0, 0, 0], {0: {2: 1}}, permit=[True] * 3), False),
    "64 judges of 2^63 planck, rows as long as a row can be": (
        network(
            [1 << 63] * 64 + [0] * 6,
            {i: {j: WHOLE - i * j % 3 for j in range(70)} for i in range(64)},
            bonds=[[(j, WHOLE) for j in range(70)]] * 64 + [[]] * 6,
            emission=(1 << 128) - 1,
        ),
        True,
    ),
    "one planck beside all others there can be": (
        network([(1 << 128) - 2, 1, 0, 0], {0: {2: 1, 3: WHOLE}, 1: {2: WHOLE}}, emission=(1 << 128) - 1),
        True,
    ),
}
"""subnets, and whether anybody earns in them"""


def test_random_subnets_come_out_as_the_models_say() -> None:
    seen = differential.campaign(seed=1, epochs=SUBNETS)
    assert (seen["median"], seen["yuma3"]) == (2 * SUBNETS, 2 * SUBNETS)
    assert min(seen["median paid"], seen["yuma3 paid"]) > SUBNETS // 2


@pytest.mark.parametrize("name", ["median", "yuma3"])
@pytest.mark.parametrize("edge", EDGES)
def test_at_the_edges_of_what_can_be(name: str, edge: str) -> None:
    given, pays = EDGES[edge]
    epoch = replace(given, consensus=name)
    outcome = run_epoch(epoch)
    assert outcome == differential.MODELS[name](epoch)
    assert (sum(outcome.emission) > 0, sum(outcome.emission) + outcome.carried) == (pays, epoch.emission)


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
