"""The audit trail: sealed commits, honest reveals, copies, and that nothing in it ever changes."""

from runtime.frame.testing import assert_noop, assert_ok
from runtime.pallets.model_updates.types import (
    Commit,
    Error,
    Leaf,
    Update,
    UpdateCommitted,
    UpdateRevealed,
    leaf_hash,
)
from runtime.pallets.training.types import Error as RoundError
from runtime.pallets.training.types import Phase
from runtime.primitives import mmr
from runtime.primitives.types import AccountId, Hash
from tests.runtime.pallets.training_bench import (
    FIRST_ROOT,
    NETUID,
    SALT,
    STRANGER,
    Bench,
    digest_of,
    marks,
    root_of,
)

NOTHING = Hash(bytes(32))


def refused_commit(bench: Bench, who: AccountId, number: int, error: RoundError | Error) -> None:
    assert_noop(bench.ext, who, "ModelUpdates", "commit", NETUID, number, NOTHING, error=error)


def refused_reveal(bench: Bench, miner: int, error: RoundError | Error, *opened: object) -> None:
    arguments = (NETUID, bench.number, *(opened or bench.opened(miner)))
    assert_noop(bench.ext, bench.miners[miner], "ModelUpdates", "reveal", *arguments, error=error)


def test_a_commit_is_stored_with_its_place() -> None:
    bench = Bench()
    bench.start()
    bench.commit(1)
    assert bench.ext.new_events()[-1] == UpdateCommitted(NETUID, 1, bench.miners[1], bench.sealed(1))
    bench.commit(0)
    commits = dict(bench.runtime.model_updates.commits.under(NETUID, 1))
    cold = [bench.runtime.neurons.neuron(NETUID, bench.uid(miner)).coldkey for miner in (0, 1)]
    assert commits == {
        (bench.miners[1],): Commit(bench.sealed(1), bench.now, 0, bench.uid(1), cold[1]),
        (bench.miners[0],): Commit(bench.sealed(0), bench.now, 1, bench.uid(0), cold[0]),
    }
    assert bench.runtime.model_updates.committed(NETUID, 1) == [bench.miners[1], bench.miners[0]]


def test_a_reveal_is_stored_with_the_place_of_its_commit() -> None:
    bench = Bench()
    bench.start()
    bench.step()
    bench.commit(0, 1)
    at = bench.now
    bench.step()
    bench.reveal(1)
    length = bench.opened(1)[1]
    assert bench.ext.new_events()[-1] == UpdateRevealed(NETUID, 1, bench.miners[1], digest_of(1, 1), length)
    update = Update(bench.miners[1], FIRST_ROOT, digest_of(1, 1), length, NOTHING, at, 1, 0)
    assert bench.runtime.model_updates.revealed(NETUID, 1) == [update]
    assert bench.runtime.model_updates.has_revealed(NETUID, 1, bench.miners[1])
    assert not bench.runtime.model_updates.has_revealed(NETUID, 1, bench.miners[0])


def test_who_may_commit() -> None:
    bench = Bench()
    refused_commit(bench, bench.miners[0], 0, RoundError.WrongPhase)
    bench.start()
    refused_commit(bench, STRANGER, 1, RoundError.NotRegistered)
    refused_commit(bench, bench.miners[0], 0, RoundError.WrongRound)
    refused_commit(bench, bench.miners[0], 2, RoundError.WrongRound)
    assert_noop(
        bench.ext, bench.miners[0], "ModelUpdates", "commit", 2, 1, NOTHING, error=RoundError.NotTraining
    )
    assert_ok(bench.ext, bench.judges[0], "ModelUpdates", "commit", NETUID, 1, NOTHING)
    bench.commit(0)
    refused_commit(bench, bench.miners[0], 1, Error.AlreadyCommitted)


def test_a_late_commit_is_refused() -> None:
    bench = Bench()
    bench.start()
    bench.commit(0)
    bench.run_to(Phase.Reveal)
    refused_commit(bench, bench.miners[1], 1, RoundError.WrongPhase)


def test_a_reveal_must_open_the_commitment() -> None:
    bench = Bench()
    bench.start()
    refused_reveal(bench, 0, RoundError.WrongPhase)
    bench.commit(0)
    bench.run_to(Phase.Reveal)
    digest, length, ef_digest, salt = bench.opened(0)
    refused_reveal(bench, 1, Error.NotCommitted)
    refused_reveal(bench, 0, Error.CommitmentMismatch, digest, length, ef_digest, b"x" * 32)
    refused_reveal(bench, 0, Error.CommitmentMismatch, digest_of(1, 1), length, ef_digest, salt)
    refused_reveal(bench, 0, Error.CommitmentMismatch, digest, length + 1, ef_digest, salt)
    refused_reveal(bench, 0, Error.CommitmentMismatch, digest, length, digest, salt)
    refused_reveal(bench, 0, Error.EmptyPayload, digest, 0, ef_digest, salt)
    bench.reveal(0)
    refused_reveal(bench, 0, Error.AlreadyRevealed)


def test_a_payload_may_be_as_long_as_the_subnet_says() -> None:
    bench = Bench(max_payload_bytes=1_000)
    bench.start()
    digest, length, ef_digest, salt = bench.opened(0)
    bench.commit(0)
    bench.run_to(Phase.Reveal)
    refused_reveal(bench, 0, Error.PayloadTooLarge, digest, 1_001, ef_digest, salt)
    assert length == 1_000
    bench.reveal(0)


def test_a_stolen_commitment_cannot_be_opened() -> None:
    bench = Bench()
    bench.start()
    bench.call(bench.miners[1], "ModelUpdates", "commit", 1, bench.sealed(0))
    bench.commit(0)
    bench.run_to(Phase.Reveal)
    refused_reveal(bench, 1, Error.CommitmentMismatch, *bench.opened(0))
    bench.reveal(0)
    assert [update.miner for update in bench.runtime.model_updates.revealed(NETUID, 1)] == [bench.miners[0]]


def test_the_same_digest_counts_once_for_the_earliest_commit() -> None:
    bench = Bench(2, 2)
    bench.start()
    copied = digest_of(1, 1)
    bench.commit(1)
    bench.call(bench.miners[0], "ModelUpdates", "commit", 1, bench.sealed(0, copied))
    bench.run_to(Phase.Reveal)
    bench.call(bench.miners[0], "ModelUpdates", "reveal", 1, *bench.opened(0, copied))
    bench.reveal(1)
    updates = bench.runtime.model_updates
    assert [update.miner for update in updates.revealed(NETUID, 1)] == [bench.miners[1], bench.miners[0]]
    assert [update.miner for update in updates.originals(NETUID, 1)] == [bench.miners[1]]
    bench.run_to(Phase.ScoreCommit)
    scores = [marks(2, 500_000), marks(3, 500_000)]
    bench.score({0: scores, 1: scores})
    assert [accepted.uid for accepted in bench.round.accepted] == [3]
    bench.attest(0, root_of(1))
    bench.attest(1, root_of(1))
    bench.step()
    assert bench.runtime.weights.row(NETUID, 0) == [(2, 65_535), (3, 65_535)]  # one score for both


def test_the_trail_is_append_only() -> None:
    bench = Bench(1, 2)
    bench.start()
    kept: dict[object, object] = {}
    for number in (1, 2, 3):
        bench.play(root_of(number))
        trail = {
            **{("commit", *key): each for key, each in bench.runtime.model_updates.commits.under()},
            **{("update", *key): each for key, each in bench.runtime.model_updates.updates.under()},
            **{("lineage", *key): each for key, each in bench.runtime.training.lineage.items()},
        }
        assert kept.items() <= trail.items()
        assert len(trail) == len(kept) + 5
        kept = trail
    assert SALT not in [each for each in kept.values() if isinstance(each, bytes)]


def test_every_update_is_a_leaf_of_one_range() -> None:
    bench = Bench(1, 3)
    bench.start()
    for number in (1, 2):
        bench.play(root_of(number))
    updates = bench.runtime.model_updates
    assert updates.leaf_count.get() == 6
    order = [(update.leaf, update.miner) for each in (1, 2) for update in updates.revealed(NETUID, each)]
    assert order == [(leaf, bench.miners[leaf % 3]) for leaf in range(6)]
    peaks = updates.peaks.get()
    assert updates.root() == mmr.root(6, peaks)
    for leaf in range(6):
        place = updates.leaves[leaf]
        assert place == Leaf(NETUID, 1 + leaf // 3, bench.miners[leaf % 3])
        update = updates.updates[place.netuid, place.round, place.miner]
        path = updates.path(leaf)
        assert mmr.is_proven(leaf_hash(place.netuid, place.round, update), leaf, 6, path, peaks)
        assert not mmr.is_proven(leaf_hash(place.netuid, place.round + 1, update), leaf, 6, path, peaks)
    assert updates.path(6) is None
    assert updates.path(-1) is None
