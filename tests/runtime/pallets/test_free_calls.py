"""The guard of the free calls: what it lets pass succeeds, and what would fail never enters a block."""

from typing import Any

import pytest
import sr25519

from runtime.frame.declare import DispatchClass, Pays
from runtime.frame.errors import DispatchError
from runtime.frame.executive import Executive
from runtime.frame.extension import Standing, Submission
from runtime.frame.testing import MemoryState
from runtime.pallets.checks import CheckNonce
from runtime.pallets.free_calls import NUMBERS, PRIORITY, CheckFreeCalls, rejection
from runtime.pallets.model_updates import types as model_updates
from runtime.pallets.training import types as training
from runtime.pallets.training.types import Phase
from runtime.pallets.verification import types as verification
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.commitments import update_commitment
from runtime.primitives.crypto import Sr25519
from runtime.primitives.header import Digest
from runtime.primitives.transaction import FOREVER, TransactionRejected
from runtime.primitives.types import ZERO_HASH, AccountId, Hash
from runtime.runtime import AssayRuntime
from tests.runtime.pallets.training_bench import (
    ASY,
    NETUID,
    SALT,
    STRANGER,
    Bench,
    BenchRuntime,
    digest_of,
    hexed,
    marks,
    root_of,
)

NOTHING = Hash(bytes(32))
GUARD = CheckFreeCalls(
    model_updates=BenchRuntime.model_updates,
    training=BenchRuntime.training,
    verification=BenchRuntime.verification,
)


def validate(bench: Bench, who: AccountId, pallet: str, name: str, *arguments: Any) -> Standing:
    """Ask the guard about a call about the subnet."""
    call = bench.runtime.call(pallet, name, NETUID, *arguments)
    standing = Standing(7, [], [b"nonce"], FOREVER)
    submission = Submission(who, call, bench.runtime.info(call), 150)
    root = bench.ext.state_root()
    try:
        guard = GUARD.bind(bench.runtime)
        guard.check(submission, ())
        guard.rank(submission, (), standing)
    finally:
        assert bench.ext.state_root() == root
    return standing


def refused(bench: Bench, who: AccountId, pallet: str, name: str, *arguments: Any) -> tuple[int, str]:
    """Return number and text of the refusal."""
    with pytest.raises(TransactionRejected) as caught:
        validate(bench, who, pallet, name, *arguments)
    assert (caught.value.kind, caught.value.reason) == ("invalid", "Custom")
    return caught.value.code, caught.value.text


def commit(bench: Bench, who: AccountId, number: int = 1) -> tuple[int, str]:
    """Return how a commit is refused."""
    return refused(bench, who, "ModelUpdates", "commit", number, NOTHING)


def test_the_refusal_of_a_stranger_says_how_to_register() -> None:
    bench = Bench()
    bench.start()
    number, text = commit(bench, STRANGER)
    assert number == 1
    assert text == "This hotkey is not registered in the subnet: assay register --netuid 1."


def test_a_good_call_is_urgent_unique_and_lives_as_long_as_its_phase() -> None:
    bench = Bench()
    bench.start()
    standing = validate(bench, bench.miners[0], "ModelUpdates", "commit", 1, bench.sealed(0))
    tag = bytes([24, 0]) + b"\x01\x00" + b"\x01\x00\x00\x00" + bench.miners[0]
    assert standing == Standing(PRIORITY, [], [b"nonce", tag], bench.round.deadline - bench.now)


def test_other_calls_are_left_alone() -> None:
    bench = Bench()
    arguments = (NOTHING, "http://127.0.0.1/")
    standing = validate(bench, STRANGER, "Training", "set_dataset", *arguments)
    assert standing == Standing(7, [], [b"nonce"], FOREVER)


def test_commits_and_reveals() -> None:
    bench = Bench(2, 2)
    bench.start()
    assert commit(bench, bench.miners[0], 2)[0] == 2
    bench.commit(0)
    assert commit(bench, bench.miners[0])[0] == 4
    assert refused(bench, bench.miners[0], "ModelUpdates", "reveal", 1, *bench.opened(0))[0] == 3
    bench.run_to(Phase.Reveal)
    assert commit(bench, bench.miners[1])[0] == 3
    digest, length, ef_digest, salt = bench.opened(0)

    def reveal(miner: int, *opened: Any) -> int:
        return refused(bench, bench.miners[miner], "ModelUpdates", "reveal", 1, *opened)[0]

    assert reveal(1, digest, length, ef_digest, salt) == 7
    assert reveal(0, digest, length, ef_digest, bytes(32)) == 8
    assert reveal(0, digest, 0, ef_digest, salt) == 9
    assert reveal(0, digest, (1 << 32) - 1, ef_digest, salt) == 9
    bench.reveal(0)
    assert reveal(0, digest, length, ef_digest, salt) == 4


def test_only_what_time_can_mend_is_early() -> None:
    early = {reason.name for reason in NUMBERS if rejection(DispatchError(reason), NETUID).early}
    assert early == {"WrongRound", "WrongPhase", "BeaconPending"}


def test_scores_and_attestations() -> None:
    bench = Bench(2, 1)
    bench.start()
    bench.mine(0)
    scores = [marks(2, 1), marks(2, 1)]

    def ask(who: AccountId, pallet: str, name: str, *arguments: Any) -> int:
        return refused(bench, who, pallet, name, bench.number, *arguments)[0]

    assert ask(bench.miners[0], "Verification", "commit_scores", NOTHING) == 5
    bench.commit_scores(0, scores)
    assert ask(bench.judges[0], "Verification", "commit_scores", NOTHING) == 4
    bench.commit_scores(1, [marks(2, 1)])
    bench.step()
    assert ask(bench.miners[0], "Verification", "reveal_scores", [], SALT) == 7
    assert ask(bench.judges[0], "Verification", "reveal_scores", [], SALT) == 8
    assert ask(bench.judges[0], "Verification", "reveal_scores", scores, SALT) == 10
    bench.reveal_scores(1, [marks(2, 1)])
    assert ask(bench.judges[1], "Verification", "reveal_scores", [marks(2, 1)], SALT) == 4
    assert ask(bench.judges[0], "Training", "attest_root", NOTHING) == 3
    bench.run_to(Phase.Attest)
    assert ask(bench.miners[0], "Training", "attest_root", NOTHING) == 5
    bench.attest(0, root_of(1))
    assert ask(bench.judges[0], "Training", "attest_root", root_of(2)) == 4


def test_scores_wait_for_the_beacon() -> None:
    bench = Bench(1, 1, authorities=4)
    bench.start()
    bench.mine(0)
    assert refused(bench, bench.judges[0], "Verification", "commit_scores", 1, NOTHING)[0] == 6


def test_what_cannot_get_into_the_next_block_is_refused_at_the_deadline() -> None:
    bench = Bench()
    bench.start()
    while bench.now < bench.round.deadline - 1:
        bench.step()
    assert validate(bench, bench.miners[0], "ModelUpdates", "commit", 1, NOTHING).longevity == 1
    bench.runtime.system.number.put(bench.round.deadline)
    assert commit(bench, bench.miners[0])[0] == 3


OF_EVIDENCE = {
    model_updates.Error.UnknownCommit,
    model_updates.Error.NotRevealed,
    model_updates.Error.OtherDigest,
    model_updates.Error.FaithfulDelivery,
    model_updates.Error.SameDigest,
    model_updates.Error.BadReceipt,
    model_updates.Error.AlreadyAccepted,
    model_updates.Error.SeatGone,
}
"""What refuses evidence, which pays a fee unless it is accepted."""


def test_every_refusal_of_a_free_call_has_a_number() -> None:
    members = [*training.Error, *model_updates.Error, *verification.Error]
    paid = {
        *(training.Error.NotOwner, training.Error.InvalidUrl, training.Error.RoundsBegan),
        *(verification.Error.NotRegistered, verification.Error.UnknownScore, verification.Error.OwnScore),
        *(verification.Error.TooLate, verification.Error.AlreadyChallenged, verification.Error.AlreadyVoid),
        *(verification.Error.TooManyOpen, verification.Error.CannotAfford),
        *OF_EVIDENCE,
    }
    assert set(members) - set(NUMBERS) == paid
    assert len(set(members)) == len(members)
    assert set(NUMBERS.values()) == set(range(1, 14))


def test_the_calls_of_a_round_are_free_and_no_others() -> None:
    free = {
        f"{target.attribute}.{target.spec.name}"
        for target in AssayRuntime.targets.values()
        if target.spec.mark.pays is Pays.No and target.spec.mark.dispatch_class is DispatchClass.Normal
    }
    assert free == {
        "model_updates.commit",
        "model_updates.reveal",
        "training.attest_root",
        "verification.commit_scores",
        "verification.report_audit",
        "verification.reveal_scores",
        "verification.vote_challenge",
    }


def test_nobody_gets_the_same_free_call_into_a_block_twice() -> None:
    """Given two signed commits of one miner in one block, then the second is refused and leaves no trace."""
    public, secret = sr25519.pair_from_seed(b"\x07" * 32)
    miner = AccountId(public)
    genesis = Bench(1, 1).genesis
    genesis["balances"]["balances"].append([hexed(miner), 100_000 * ASY])
    genesis["neurons"][str(NETUID)].append({"hotkey": hexed(miner), "coldkey": hexed(miner)})
    bench = Bench(1, 1, genesis=genesis)
    bench.start()
    bench.ext.close_block()
    executive = Executive(BenchRuntime, (CheckNonce(system=BenchRuntime.system), GUARD))
    state = MemoryState(bench.ext.state.entries)
    slot = pre_digest_item(SecondaryPlain(0, bench.now + 1))
    execution = executive.open(state, bench.now + 1, ZERO_HASH, Digest([slot]))
    commitment = update_commitment(bench.genesis_hash, NETUID, 1, miner, SALT, digest_of(9, 1), 10, NOTHING)
    call = BenchRuntime.call("ModelUpdates", "commit", NETUID, 1, commitment)

    def signed(nonce: int) -> bytes:
        payload = executive.format.payload(call, (nonce, ()), ((), ()))
        signature = Sr25519(sr25519.sign((public, secret), payload))
        return executive.format.signed(call, miner, signature, (nonce, ()))

    assert execution.apply(signed(0)) is None
    before = dict(execution.runtime.overlay.changes)
    with pytest.raises(TransactionRejected) as caught:
        execution.apply(signed(1))
    assert caught.value.describe() == (
        "Custom error: 4 (This hotkey has committed in this round: one commitment counts, "
        "wait for the next round.)"
    )
    assert execution.runtime.overlay.changes == before
    assert execution.runtime.system.account[miner].nonce == 1
    assert execution.runtime.model_updates.committed(NETUID, 1) == [miner]
