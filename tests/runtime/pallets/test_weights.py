"""Weights: whose row is taken, whose is refused and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.testing import assert_noop, assert_ok
from runtime.pallets.subnets import messages as subnets
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.weights import Error, WeightsSet, upscaled
from runtime.primitives.commitments import Listed
from runtime.primitives.scale import EncodeError, codec
from tests.runtime.pallets.market import (
    CAROL,
    EVE,
    HOT_ALICE,
    HOT_BOB,
    HOT_CAROL,
    INFERENCE,
    TRAINING,
    genesis,
    market,
)

RICH = 10**30


def with_a_miner():
    """Return the market with Carol's miner as uid 2 of both subnets."""
    ext = market()
    for netuid in (TRAINING, INFERENCE):
        assert_ok(ext, CAROL, "Neurons", "burned_register", netuid, HOT_CAROL, RICH)
    return ext


def test_a_judge_sets_its_row():
    ext = with_a_miner()
    ext.run_to_block(4)
    assert_ok(ext, HOT_ALICE, "Weights", "set_weights", INFERENCE, [2, 1], [30, 10], 0)
    assert ext.runtime.weights.row(INFERENCE, 0) == [(1, 21845), (2, 65535)]
    assert ext.runtime.weights.updated_at(INFERENCE, 0) == 4
    assert ext.new_events()[-1] == WeightsSet(INFERENCE, 0)


def test_zero_and_omitted_mean_the_same():
    ext = with_a_miner()
    assert_ok(ext, HOT_ALICE, "Weights", "set_weights", INFERENCE, [1, 2], [0, 7], 0)
    assert_ok(ext, HOT_BOB, "Weights", "set_weights", INFERENCE, [2], [1], 0)
    assert ext.runtime.weights.row(INFERENCE, 0) == ext.runtime.weights.row(INFERENCE, 1) == [(2, 65535)]


def test_a_row_is_refused():
    ext = with_a_miner()

    def refused(error, uids=(2,), values=(1,), who=HOT_ALICE, netuid=INFERENCE):
        call = ("Weights", "set_weights", netuid, list(uids), list(values), 0)
        assert_noop(ext, who, *call, error=error)

    refused(subnets.Error.UnknownSubnet, netuid=9)
    refused(Error.ScoresComeFromRounds, netuid=TRAINING)
    refused(Error.NotRegistered, who=CAROL)
    refused(Error.NoPermit, who=HOT_CAROL)
    refused(Error.LengthMismatch, uids=(1, 2))
    refused(Error.AllZero, values=(0,))
    refused(Error.AllZero, uids=(), values=())
    refused(Error.DuplicateUid, uids=(2, 2), values=(1, 1))
    refused(Error.SelfWeight, uids=(0, 2), values=(1, 1))
    refused(Error.UnknownUid, uids=(3,))
    refused(Error.UnknownUid, uids=(2, 65_535), values=(1, 0))
    assert_ok(ext, Root(), "Subnets", "pause", INFERENCE)
    refused(subnets.Error.Paused)


def test_rows_may_not_follow_each_other_too_fast():
    ext = with_a_miner()
    call = ("Weights", "set_weights", INFERENCE, [2], [1], 0)
    assert_ok(ext, HOT_ALICE, *call)
    ext.run_to_block(5)
    assert_noop(ext, HOT_ALICE, *call, error=Error.TooSoon)
    ext.run_to_block(6)
    assert_ok(ext, HOT_ALICE, *call)


def test_old_validator_software_is_told_to_update():
    ext = with_a_miner()
    assert_ok(ext, EVE, "Subnets", "set_hyperparameter", INFERENCE, Parameter.weights_version, 3)
    ext.run_to_block(20)
    assert_noop(ext, HOT_ALICE, "Weights", "set_weights", INFERENCE, [2], [1], 2, error=Error.OldVersion)
    assert_ok(ext, HOT_ALICE, "Weights", "set_weights", INFERENCE, [2], [1], 3)


def test_rounds_put_rows_of_any_integers():
    ext = with_a_miner()
    ext.run_to_block(12)
    ext.runtime.weights.put_row(TRAINING, 1, [(2, 4_000_000), (0, 1_000_000)], 9)
    assert ext.runtime.weights.row(TRAINING, 1) == [(0, 16384), (2, 65535)]
    ext.runtime.weights.put_row(TRAINING, 1, [], 12)
    assert (ext.runtime.weights.row(TRAINING, 1), ext.runtime.weights.updated_at(TRAINING, 1)) == ([], 12)
    ext.runtime.try_state()


def test_the_weight_of_the_call_grows_with_the_row():
    ext = market(**genesis())
    calls = [ext.runtime.call("Weights", "set_weights", 2, [1] * size, [1] * size, 0) for size in (1, 1024)]
    short, long = (ext.runtime.info(call).weight.ref_time for call in calls)
    assert long - short == 1023 * 25_000_000


def test_no_value_above_u16_gets_into_a_call():
    types = (Listed, Listed)
    assert codec(tuple[types]).encode(([2], [65_535])) == bytes.fromhex("04020004ffff")
    for uids, values in (
        ([2], [65_536]),
        ([65_536], [1]),
        ([2], [-1]),
        ([2], [1.5]),
        ([1] * 1025, [1] * 1025),
    ):
        with pytest.raises(EncodeError):
            codec(tuple[types]).encode((uids, values))


@given(st.dictionaries(st.integers(0, 1023), st.integers(0, 1 << 64), max_size=20))
def test_upscaling_keeps_order_and_fits_u16(values):
    scaled = dict(upscaled(list(values.items())))
    assert list(scaled) == sorted(scaled)
    assert max(scaled.values(), default=0) == (65535 if any(values.values()) else 0)
    assert all(0 < value <= 65535 for value in scaled.values())
    for first, second in zip(
        sorted(values, key=values.get), sorted(values, key=values.get)[1:], strict=False
    ):
        assert scaled.get(first, 0) <= scaled.get(second, 0)
