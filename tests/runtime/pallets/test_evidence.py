"""Evidence against miners: their own receipts slash them, once, and nothing else does."""

from dataclasses import replace
from typing import Any

import sr25519

from runtime.frame.declare import Pays, SignedOrigin
from runtime.frame.testing import assert_noop
from runtime.pallets.model_updates.types import (
    Delivery,
    DoublePublication,
    Error,
    EvidenceAccepted,
)
from runtime.pallets.neurons.messages import NeuronSlashed
from runtime.pallets.training.types import Phase
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Receipt
from runtime.primitives.types import AccountId, Hash
from tests.runtime.pallets.training_bench import (
    ASY,
    NETUID,
    STRANGER,
    Bench,
    digest_of,
    marks,
    root_of,
)

OTHER_BYTES = Hash(blake2_256(b"other bytes"))


def keyed(**hyperparameters: Any) -> Bench:
    """Return a bench in the REVEAL of round 1; the first miner has revealed, the second only committed."""
    bench = Bench(2, 2, signing=True, **hyperparameters)
    bench.start()
    bench.commit(0, 1)
    bench.run_to(Phase.Reveal)
    bench.reveal(0)
    return bench


def signed(bench: Bench, digest: Hash, sent: Hash, miner: int = 0, **changed: Any) -> Receipt:
    """Return a receipt of a miner's for the first round."""
    return bench.receipt(miner, digest, sent, **{"round": 1, **changed})


def lie(bench: Bench, miner: int = 0) -> Delivery:
    return Delivery(signed(bench, digest_of(miner, 1), OTHER_BYTES, miner))


def twice(bench: Bench) -> DoublePublication:
    own, other = digest_of(0, 1), digest_of(9, 1)
    return DoublePublication(signed(bench, own, own), signed(bench, other, other))


def submit(bench: Bench, evidence: Any, miner: int = 0) -> Any:
    """Submit evidence and return who pays."""
    call = bench.runtime.call("ModelUpdates", "submit_evidence", NETUID, 1, bench.miners[miner], evidence)
    return bench.runtime.dispatch(call, SignedOrigin(STRANGER))


def refused(
    bench: Bench, evidence: Any, error: Error, miner: AccountId | None = None, number: int = 1
) -> None:
    accused = miner or bench.miners[0]
    arguments = (NETUID, number, accused, evidence)
    assert_noop(bench.ext, STRANGER, "ModelUpdates", "submit_evidence", *arguments, error=error)


def test_a_false_delivery_costs_the_bond_and_the_seat() -> None:
    bench = keyed()
    bond = bench.runtime.neurons.neuron(NETUID, 2).bond
    issued = bench.runtime.balances.total_issuance.get()
    bench.ext.new_events()
    assert submit(bench, lie(bench)) is Pays.No
    miner = bench.miners[0]
    events = bench.ext.new_events()
    assert NeuronSlashed(NETUID, 2, miner, miner, bond, 0) in events
    assert events[-1] == EvidenceAccepted(NETUID, 1, miner, 2, STRANGER, bond)
    assert bench.runtime.balances.total_issuance.get() == issued - bond
    assert bench.runtime.neurons.neuron(NETUID, 2) is None
    bench.runtime.try_state()
    bench.reveal(1)  # the round goes on without the seat
    bench.run_to(Phase.ScoreCommit)


def test_two_publications_cost_the_same_even_when_none_was_revealed() -> None:
    bench = keyed()
    assert submit(bench, twice(bench)) is Pays.No
    own, other = digest_of(1, 1), digest_of(9, 1)
    both = DoublePublication(signed(bench, own, own, 1), signed(bench, other, other, 1))
    assert submit(bench, both, 1) is Pays.No
    assert [bench.runtime.neurons.neuron(NETUID, uid) for uid in (2, 3)] == [None, None]
    bench.runtime.try_state()


def test_what_has_not_vested_is_burnt_too() -> None:
    bench = keyed(vesting_rounds=40, tempo=20, immunity_period=1_000)
    bench.reveal(1)
    for number in (1, 2, 3):
        if number > 1:
            bench.mine(0, 1)
        bench.run_to(Phase.ScoreCommit, number)
        play_scores(bench, number)
    vesting = bench.runtime.incentive.vesting_of(NETUID, 2)
    bond = bench.runtime.neurons.neuron(NETUID, 2).bond
    issued = bench.runtime.balances.total_issuance.get()
    submit(bench, lie(bench))
    slashed = bench.ext.new_events()[-1].slashed
    assert 0 < slashed - bond <= vesting  # what vested since the epoch is paid first
    assert bench.runtime.balances.total_issuance.get() == issued - slashed
    assert bench.runtime.incentive.vesting_of(NETUID, 2) == 0
    bench.runtime.try_state()


def play_scores(bench: Bench, number: int) -> None:
    bench.score({judge: [marks(2, 500_000), marks(3, 500_000)] for judge in (0, 1)})
    for judge in (0, 1):
        bench.attest(judge, root_of(number))
    bench.step()


def test_evidence_counts_once() -> None:
    bench = keyed()
    submit(bench, lie(bench))
    for again in (lie(bench), twice(bench)):
        refused(bench, again, Error.AlreadyAccepted)


def test_what_accuses_nobody_is_refused() -> None:
    bench = keyed()
    own, other = digest_of(0, 1), digest_of(9, 1)
    refused(bench, Delivery(signed(bench, own, own)), Error.FaithfulDelivery)
    refused(bench, Delivery(signed(bench, other, OTHER_BYTES)), Error.OtherDigest)
    both = DoublePublication(signed(bench, own, own), signed(bench, own, OTHER_BYTES))
    refused(bench, both, Error.SameDigest)
    refused(bench, lie(bench, 1), Error.NotRevealed, bench.miners[1])
    refused(bench, lie(bench), Error.UnknownCommit, STRANGER)
    refused(bench, lie(bench), Error.UnknownCommit, number=2)


def test_only_the_miners_own_receipts_for_this_round_count() -> None:
    bench = keyed()
    own = digest_of(0, 1)
    changes: list[dict[str, Any]] = [
        {"genesis": own},
        {"netuid": 2},
        {"round": 2},
        {"hotkey": bench.miners[1]},
    ]
    for changed in changes:
        refused(bench, Delivery(signed(bench, own, OTHER_BYTES, **changed)), Error.BadReceipt)
    good = signed(bench, own, OTHER_BYTES)
    for forged in (
        replace(good, sent=digest_of(5, 5)),
        replace(good, length=999),
        replace(good, signature=bytes(64)),
        replace(good, signature=bench.receipt(1, own, OTHER_BYTES).signature),
    ):
        refused(bench, Delivery(forged), Error.BadReceipt)
    honest, stolen = signed(bench, own, own), signed(bench, digest_of(1, 1), digest_of(1, 1), 1)
    refused(bench, DoublePublication(honest, stolen), Error.BadReceipt)
    refused(bench, DoublePublication(stolen, honest), Error.BadReceipt)


def test_swapping_the_hotkey_saves_nobody() -> None:
    bench = keyed()
    accused, fresh = bench.miners[0], AccountId(blake2_256(b"fresh"))
    bench.ext.dispatch(accused, "Neurons", "swap_hotkey", NETUID, accused, fresh)
    assert bench.runtime.neurons.neuron(NETUID, 2).hotkey == fresh
    submit(bench, lie(bench))
    assert bench.runtime.neurons.neuron(NETUID, 2) is None


def test_who_commits_in_the_block_of_its_registration_and_swaps_is_no_exception() -> None:
    bench = Bench(2, 2, signing=True, train_window=30)
    bench.start()
    pair = sr25519.pair_from_seed(blake2_256(b"quick"))
    quick, fresh = AccountId(pair[0]), AccountId(blake2_256(b"fresh"))
    bench.keys.append(pair)
    bench.miners.append(quick)
    bench.call(STRANGER, "Neurons", "burned_register", quick, 10**15)
    bench.commit(2)
    bench.step()
    bench.call(STRANGER, "Neurons", "swap_hotkey", quick, fresh)
    uid = bench.runtime.neurons.uid_of(NETUID, fresh)
    one, other = (signed(bench, digest_of(5, each), digest_of(5, each), 2) for each in (1, 2))
    submit(bench, DoublePublication(one, other), 2)
    assert bench.runtime.neurons.neuron(NETUID, uid) is None


def test_who_takes_its_seat_again_under_another_coldkey_is_no_exception() -> None:
    bench = Bench(2, 2, signing=True, train_window=30)
    bench.start()
    pair = sr25519.pair_from_seed(blake2_256(b"quick"))
    quick = AccountId(pair[0])
    bench.keys.append(pair)
    bench.miners.append(quick)
    bench.ext.dispatch(STRANGER, "Balances", "transfer_allow_death", quick, 20_000 * ASY)
    bench.call(STRANGER, "Neurons", "burned_register", quick, 10**15)
    bench.step()
    bench.commit(2)
    bench.call(STRANGER, "Neurons", "deregister", quick)
    bench.call(quick, "Neurons", "burned_register", quick, 10**15)
    uid = bench.runtime.neurons.uid_of(NETUID, quick)
    one, other = (signed(bench, digest_of(5, each), digest_of(5, each), 2) for each in (1, 2))
    submit(bench, DoublePublication(one, other), 2)
    assert bench.runtime.neurons.neuron(NETUID, uid) is None


def test_nobody_pays_for_who_held_the_seat_before() -> None:
    bench = keyed()
    accused = bench.miners[0]
    bench.ext.dispatch(accused, "Neurons", "deregister", NETUID, accused)
    refused(bench, lie(bench), Error.SeatGone)
    newcomer = AccountId(blake2_256(b"newcomer"))
    bench.ext.dispatch(STRANGER, "Neurons", "burned_register", NETUID, newcomer, 10**15)
    assert bench.runtime.neurons.neuron(NETUID, 2).hotkey == newcomer
    refused(bench, lie(bench), Error.SeatGone)
