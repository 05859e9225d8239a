"""Weights: rows that are sealed in one epoch and opened in another; by whom, when, and what a copier gets."""

from dataclasses import replace

import pytest

from runtime.frame.declare import Root
from runtime.frame.testing import assert_noop, assert_ok
from runtime.pallets.incentive.pallet import EpochRun
from runtime.pallets.subnets import messages as subnets
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.weights import (
    MOST_COMMITS,
    Error,
    RevealMissed,
    WeightCommit,
    WeightsCommitted,
    WeightsRevealed,
    WeightsSet,
)
from runtime.primitives.commitments import weights_commitment
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import EncodeError
from runtime.primitives.types import Hash
from tests.runtime.pallets.market import (
    ALICE,
    ASY,
    CAROL,
    EVE,
    HOT_ALICE,
    HOT_BOB,
    HOT_CAROL,
    HOT_EVE,
    INFERENCE,
    TRAINING,
    market,
)
from tests.runtime.pallets.sealing import RICH, Ballot, refused, seal, sealed_market, to_epoch, unseal

SEALS = (WeightsSet, WeightsCommitted, WeightsRevealed, RevealMissed)
SOME_HASH = Hash(b"h" * 32)


def told(ext):
    """Return the events of this block about rows."""
    return [event for event in ext.new_events() if type(event) in SEALS]


def commits(ext, hotkey=HOT_ALICE):
    return ext.runtime.weights.weight_commits[INFERENCE, hotkey]


def test_the_commitment_is_the_hash_of_the_scale_form():
    written = (
        HOT_ALICE + bytes.fromhex("0200 07000000") + bytes.fromhex("08 0200 0300 08 1e00 ffff")
        + b"s" * 32 + bytes.fromhex("0500000000000000")
    )  # fmt: skip
    assert weights_commitment(HOT_ALICE, 2, 7, [2, 3], [30, 65_535], b"s" * 32, 5) == blake2_256(written)


@pytest.mark.parametrize(
    "change", [{"values": [65_536, 1]}, {"uids": [-1, 2]}, {"salt": b"short"}, {"version_key": 1 << 64}]
)
def test_what_is_out_of_range_cannot_be_sealed(change):
    with pytest.raises(EncodeError):
        replace(Ballot(HOT_ALICE), **change).commitment()


def test_a_row_is_sealed_in_one_epoch_and_opened_in_the_next():
    ext = sealed_market()
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    assert told(ext) == [WeightsCommitted(INFERENCE, HOT_ALICE, ballot.commitment(), 0, 1)]
    assert commits(ext) == [WeightCommit(ballot.commitment(), 0, 1, 3, 0)]
    assert ext.runtime.weights.pending(INFERENCE) == {0: commits(ext)}
    assert ext.runtime.weights.row(INFERENCE, 0) == []
    to_epoch(ext, 1)
    unseal(ext, ballot)
    assert told(ext) == [WeightsRevealed(INFERENCE, 0, HOT_ALICE, 0)]
    assert ext.runtime.weights.row(INFERENCE, 0) == [(2, 65_535), (3, 21_845)]
    assert ext.runtime.weights.updated_at(INFERENCE, 0) == 19
    assert (commits(ext), ext.runtime.weights.pending(INFERENCE)) == ([], {})
    refused(ext, ballot, Error.NotCommitted)


def test_a_row_opens_in_its_epoch_not_before_not_after():
    ext = sealed_market(reveal_period=2)
    ballot, later = Ballot(HOT_ALICE), Ballot(HOT_ALICE, epoch=3, values=[1, 2])
    seal(ext, ballot)
    refused(ext, ballot, Error.TooEarly)
    to_epoch(ext, 1)
    refused(ext, ballot, Error.TooEarly)
    to_epoch(ext, 2)
    ext.run_to_block(57)
    assert told(ext) == []
    ext.run_to_block(58)
    assert told(ext) == [RevealMissed(INFERENCE, HOT_ALICE, 0)]
    refused(ext, ballot, Error.TooLate)
    assert ext.runtime.weights.pending(INFERENCE) == {}
    seal(ext, later)
    refused(ext, ballot, Error.TooLate)  # it tells the two apart
    ext.run_to_block(78)
    assert told(ext) == []  # once is enough
    refused(ext, ballot, Error.CommitmentMismatch)
    refused(ext, later, Error.TooEarly)
    assert [sealed.epoch for sealed in commits(ext)] == [3]


@pytest.mark.parametrize("block", [18, 37])
def test_a_row_opens_from_the_block_of_an_epoch_to_the_last_before_the_next(block):
    ext = sealed_market()
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    ext.run_to_block(17)
    refused(ext, ballot, Error.TooEarly)
    ext.run_to_block(block)
    unseal(ext, ballot)


def test_only_what_was_sealed_opens_and_only_for_its_hotkey():
    ext = sealed_market()
    ballot = Ballot(HOT_ALICE)
    refused(ext, ballot, Error.NotCommitted)
    seal(ext, ballot)
    seal(ext, Ballot(HOT_BOB, salt=b"b" * 32))
    to_epoch(ext, 1)
    changes = [
        {"salt": b"t" * 32},
        {"values": [31, 10]},
        {"uids": [3, 2]},
        {"version_key": 1},
        {"uids": [2, 3, 1], "values": [30, 10, 0]},
    ]
    for change in changes:
        refused(ext, replace(ballot, **change), Error.CommitmentMismatch)
    refused(ext, ballot, Error.CommitmentMismatch, who=HOT_BOB)
    refused(ext, replace(ballot, uids=[0, 1]), Error.NotCommitted, who=HOT_CAROL)
    refused(ext, ballot, Error.NotRegistered, who=ALICE)
    unseal(ext, ballot)


def test_a_copied_commitment_opens_for_nobody():
    ext = sealed_market()
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    assert_ok(ext, HOT_BOB, "Weights", "commit_weights", INFERENCE, ballot.commitment())
    to_epoch(ext, 1)
    unseal(ext, ballot)
    refused(ext, ballot, Error.CommitmentMismatch, who=HOT_BOB)
    refused(ext, replace(ballot, hotkey=HOT_BOB), Error.CommitmentMismatch)


def test_a_malformed_row_is_named_before_anything_is_hashed():
    ext = sealed_market()
    wrong = {
        Error.LengthMismatch: {"values": [1]},
        Error.AllZero: {"values": [0, 0]},
        Error.DuplicateUid: {"uids": [2, 2]},
        Error.SelfWeight: {"uids": [0, 2]},
        Error.UnknownUid: {"uids": [2, 1024]},
    }
    for error, change in wrong.items():
        refused(ext, replace(Ballot(HOT_ALICE), **change), error)
    refused(ext, Ballot(HOT_ALICE, uids=[], values=[]), Error.AllZero)


def test_sealing_is_refused():
    ext = sealed_market()

    def not_sealed(error, who=HOT_ALICE, netuid=INFERENCE):
        assert_noop(ext, who, "Weights", "commit_weights", netuid, SOME_HASH, error=error)

    not_sealed(subnets.Error.UnknownSubnet, netuid=9)
    not_sealed(Error.ScoresComeFromRounds, netuid=TRAINING)
    not_sealed(Error.NotRegistered, who=CAROL)
    not_sealed(Error.NoPermit, who=HOT_CAROL)
    assert_ok(ext, HOT_ALICE, "Weights", "commit_weights", INFERENCE, SOME_HASH)
    not_sealed(Error.AlreadyCommitted)
    to_epoch(ext, 1)
    assert_ok(ext, HOT_ALICE, "Weights", "commit_weights", INFERENCE, SOME_HASH)
    assert_ok(ext, Root(), "Subnets", "pause", INFERENCE)
    not_sealed(subnets.Error.Paused)
    refused(ext, Ballot(HOT_ALICE), subnets.Error.Paused)


def test_training_subnets_and_unknown_ones_open_nothing():
    ext = sealed_market()
    for netuid, error in ((TRAINING, Error.ScoresComeFromRounds), (9, subnets.Error.UnknownSubnet)):
        call = ("Weights", "reveal_weights", netuid, [2], [1], b"s" * 32, 0)
        assert_noop(ext, HOT_ALICE, *call, error=error)


def test_a_subnet_takes_rows_in_one_way():
    openly = ("Weights", "set_weights", INFERENCE, [2], [1], 0)
    assert_noop(sealed_market(), HOT_ALICE, *openly, error=Error.CommitRevealEnabled)
    secretly = ("Weights", "commit_weights", INFERENCE, SOME_HASH)
    assert_noop(market(), HOT_ALICE, *secretly, error=Error.CommitRevealDisabled)


def test_what_is_sealed_still_opens_when_the_subnet_turns_to_open_rows():
    ext = sealed_market()
    assert_ok(ext, EVE, "Subnets", "set_hyperparameter", INFERENCE, Parameter.commit_reveal, 0)
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    to_epoch(ext, 1)
    call = ("Weights", "commit_weights", INFERENCE, SOME_HASH)
    assert_noop(ext, HOT_ALICE, *call, error=Error.CommitRevealDisabled)
    unseal(ext, ballot)
    assert_ok(ext, HOT_BOB, "Weights", "set_weights", INFERENCE, [2], [1], 0)


def test_a_paused_subnet_lets_no_seal_expire():
    ext = sealed_market()
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    to_epoch(ext, 1)
    assert_ok(ext, Root(), "Subnets", "pause", INFERENCE)
    ext.run_to_block(45)  # past the epoch in block 38
    refused(ext, ballot, subnets.Error.Paused)
    assert_ok(ext, Root(), "Subnets", "unpause", INFERENCE)
    unseal(ext, ballot)


def test_the_version_is_that_of_the_day_of_sealing():
    ext = sealed_market()
    assert_ok(ext, EVE, "Subnets", "set_hyperparameter", INFERENCE, Parameter.weights_version, 3)
    early, late = Ballot(HOT_ALICE, version_key=2), Ballot(HOT_ALICE, epoch=1, version_key=2)
    seal(ext, early)
    to_epoch(ext, 1)
    seal(ext, late)
    seal(ext, replace(late, hotkey=HOT_BOB, version_key=3))
    unseal(ext, early)  # the version rose after it was sealed
    to_epoch(ext, 2)
    refused(ext, late, Error.OldVersion)
    unseal(ext, replace(late, hotkey=HOT_BOB, version_key=3))


def test_a_change_of_the_period_moves_no_seal_and_lets_no_two_open_at_once():
    """With two rows to open, a judge could choose when those of others are public."""
    ext = sealed_market(reveal_period=3)
    assert_ok(ext, EVE, "Subnets", "set_hyperparameter", INFERENCE, Parameter.reveal_period, 1)
    first, second = Ballot(HOT_ALICE), Ballot(HOT_ALICE, epoch=1, values=[1, 9])
    seal(ext, first)
    to_epoch(ext, 1)
    seal(ext, second)
    refused(ext, first, Error.TooEarly)
    to_epoch(ext, 2)
    call = ("Weights", "commit_weights", INFERENCE, SOME_HASH)
    assert_noop(ext, HOT_ALICE, *call, error=Error.AlreadyCommitted)
    assert_ok(ext, HOT_BOB, *call)
    unseal(ext, second)
    to_epoch(ext, 3)
    unseal(ext, first)
    seal(ext, Ballot(HOT_ALICE, epoch=3))
    assert [sealed.reveal_epoch for sealed in commits(ext)] == [4]


def test_a_seal_that_came_a_block_late_is_good_for_its_own_epoch():
    ext = sealed_market()
    ext.run_to_block(18)  # made for epoch 0, but the epoch of this block ran first
    ballot = Ballot(HOT_ALICE, epoch=0)
    seal(ext, ballot)
    assert commits(ext)[0].epoch == 1
    to_epoch(ext, 2)
    unseal(ext, ballot)


def test_of_two_equal_seals_the_one_that_is_due_opens():
    ext = sealed_market()
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    to_epoch(ext, 1)
    seal(ext, ballot)
    to_epoch(ext, 2)
    unseal(ext, ballot)
    assert [sealed.epoch for sealed in commits(ext)] == [0]
    refused(ext, ballot, Error.TooLate)


def test_rows_lose_what_others_have_taken_since_they_were_sealed():
    ext = sealed_market()
    seal(ext, Ballot(HOT_ALICE, uids=[1, 2, 3], values=[1, 2, 4]))
    seal(ext, Ballot(HOT_BOB, uids=[2], values=[5]))
    assert_ok(ext, CAROL, "Neurons", "deregister", INFERENCE, HOT_CAROL)
    to_epoch(ext, 1)
    assert_ok(ext, EVE, "Neurons", "burned_register", INFERENCE, HOT_EVE, RICH)
    assert ext.runtime.neurons.uid_of(INFERENCE, HOT_EVE) == 2
    unseal(ext, Ballot(HOT_ALICE, uids=[1, 2, 3], values=[1, 2, 4]))
    unseal(ext, Ballot(HOT_BOB, uids=[2], values=[5]))
    assert ext.runtime.weights.row(INFERENCE, 0) == [(1, 16_384), (3, 65_535)]
    assert ext.runtime.weights.row(INFERENCE, 1) == []
    assert ext.runtime.weights.updated_at(INFERENCE, 1) == 19


def test_a_row_says_nothing_of_who_came_in_the_block_of_its_seal_or_later():
    ext = sealed_market()
    assert_ok(ext, CAROL, "Neurons", "deregister", INFERENCE, HOT_CAROL)
    assert_ok(ext, EVE, "Neurons", "burned_register", INFERENCE, HOT_EVE, RICH)
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    to_epoch(ext, 1)
    unseal(ext, ballot)
    assert ext.runtime.weights.row(INFERENCE, 0) == [(3, 65_535)]


def test_a_judge_that_leaves_gives_its_seals_up():
    ext = sealed_market()
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    assert_ok(ext, ALICE, "Neurons", "deregister", INFERENCE, HOT_ALICE)
    assert RevealMissed(INFERENCE, HOT_ALICE, 0) in told(ext)
    refused(ext, ballot, Error.NotRegistered)
    assert_ok(ext, ALICE, "Neurons", "burned_register", INFERENCE, HOT_ALICE, RICH)
    to_epoch(ext, 1)
    refused(ext, ballot, Error.NotCommitted)


def test_a_replaced_judge_gives_its_seals_up():
    ext = sealed_market(immunity_period=0)
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    for uid in (1, 2, 3):
        ext.runtime.incentive.emission[INFERENCE, uid] = 1
    assert_ok(ext, EVE, "Neurons", "burned_register", INFERENCE, HOT_EVE, RICH)
    assert ext.runtime.neurons.uid_of(INFERENCE, HOT_EVE) == 0
    sealed = WeightsCommitted(INFERENCE, HOT_ALICE, ballot.commitment(), 0, 1)
    assert told(ext) == [sealed, RevealMissed(INFERENCE, HOT_ALICE, 0)]
    to_epoch(ext, 1)
    refused(ext, ballot, Error.NotRegistered)
    refused(ext, replace(ballot, uids=[2, 3]), Error.NotCommitted, who=HOT_EVE)


def test_a_new_hotkey_opens_nothing_of_the_old_one():
    ext = sealed_market()
    ballot = Ballot(HOT_ALICE)
    seal(ext, ballot)
    assert_ok(ext, ALICE, "Neurons", "swap_hotkey", INFERENCE, HOT_ALICE, HOT_EVE)
    assert RevealMissed(INFERENCE, HOT_ALICE, 0) in told(ext)
    again = Ballot(HOT_EVE, salt=b"e" * 32)
    seal(ext, again)  # the new hotkey judges on in the same epoch
    to_epoch(ext, 1)
    refused(ext, ballot, Error.NotRegistered)
    refused(ext, ballot, Error.CommitmentMismatch, who=HOT_EVE)
    unseal(ext, again)


def test_a_seal_for_each_epoch_of_the_longest_period_finds_room():
    ext = sealed_market(reveal_period=10)
    for epoch in range(14):
        if epoch:
            to_epoch(ext, epoch)
        seal(ext, Ballot(HOT_ALICE, epoch=epoch))
    assert [sealed.epoch for sealed in commits(ext)] == list(range(2, 14))
    assert len(commits(ext)) == MOST_COMMITS
    assert [sealed.epoch for sealed in ext.runtime.weights.pending(INFERENCE)[0]] == list(range(3, 14))


@pytest.mark.parametrize(("consensus", "judges_part"), [(0, 4), (1, 5)])
def test_who_misses_the_reveal_gets_no_dividend_of_that_epoch(consensus, judges_part):
    ext = sealed_market(consensus=consensus)
    for epoch in (0, 1):
        for hotkey in (HOT_ALICE, HOT_BOB):
            seal(ext, Ballot(hotkey, epoch=epoch))
        to_epoch(ext, epoch + 1)
        unseal(ext, Ballot(HOT_ALICE, epoch=epoch))
        if epoch == 0:
            unseal(ext, Ballot(HOT_BOB, epoch=epoch))
    incentive = ext.runtime.incentive
    assert [incentive.dividends[INFERENCE, uid] // 10 for uid in (0, 1)] == [3276, 3276]
    ext.run_to_block(58)
    assert told(ext) == [RevealMissed(INFERENCE, HOT_BOB, 1)]
    incentive = ext.runtime.incentive
    run = next(event for event in ext.new_events() if type(event) is EpochRun)
    assert run.emission - 20 * ASY * 2 // 5 in range(20)  # this epoch's money, and dust of the last one
    assert [incentive.dividends[INFERENCE, uid] for uid in (0, 1)] == [65_535, 0]
    assert incentive.emission_of(INFERENCE, 1) == 0
    assert abs(incentive.emission_of(INFERENCE, 0) - run.emission * judges_part // 10) <= 20
    assert incentive.is_permitted(INFERENCE, 1)  # and may judge again


def test_the_epoch_knows_the_oldest_open_seal():
    ext = sealed_market(reveal_period=2)
    seal(ext, Ballot(HOT_ALICE))
    to_epoch(ext, 1)
    seal(ext, Ballot(HOT_ALICE, epoch=1))
    seal(ext, Ballot(HOT_BOB, epoch=1))
    assert ext.runtime.incentive.epoch_input(INFERENCE, 38).pending_commit == [3, 19, 0, 0]


def test_a_copier_is_one_period_late():
    """A copier seals, in each epoch, the rows that others open in it: the newest it can read."""
    ext = sealed_market()
    opinions = [[90, 10], [10, 90], [50, 50], [1, 99]]  # of uids 2 and 3, one for each epoch
    rows: list[list[dict[int, int]]] = []
    for epoch, values in enumerate(opinions):
        if epoch:
            to_epoch(ext, epoch)
            unseal(ext, Ballot(HOT_ALICE, epoch=epoch - 1, values=opinions[epoch - 1]))
            if rows:
                unseal(ext, Ballot(HOT_BOB, epoch=epoch - 1, values=list(rows[-1][0].values())))
            rows.append([dict(ext.runtime.weights.row(INFERENCE, judge)) for judge in (0, 1)])
            seal(ext, Ballot(HOT_BOB, epoch=epoch, values=list(rows[-1][0].values())))
        seal(ext, Ballot(HOT_ALICE, epoch=epoch, values=values))
    originals, copies = zip(*rows, strict=True)
    assert list(copies) == [{}, *originals[:-1]]
    assert [row[2] > row[3] for row in originals] == [True, False, False]


def test_a_reveal_weighs_more_the_longer_its_row_is():
    ext = sealed_market()
    calls = [Ballot(HOT_ALICE, uids=[1] * size, values=[1] * size).opening() for size in (1, 1024)]
    short, long = (ext.runtime.info(ext.runtime.call(*call)).weight.ref_time for call in calls)
    assert long - short == 1023 * 25_000_000
