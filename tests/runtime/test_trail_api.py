"""ModelUpdatesApi and TrainingApi: what they say of rounds is what happened, and their proofs prove."""

from typing import Any

from runtime.apis import NATIVE, answer
from runtime.frame.state import EmptyState
from runtime.pallets.model_updates.types import Update, leaf_hash
from runtime.pallets.training.parameters import parameter_set
from runtime.pallets.training.types import Phase
from runtime.pallets.verification.types import Audit
from runtime.primitives import mmr
from runtime.primitives.scale import codec
from runtime.trail_api import (
    MOST_STEPS,
    Lineage,
    LineageStep,
    ModelUpdatesApi,
    NumberedSet,
    RoundInfo,
    RoundJudge,
    RoundUpdate,
    TrainingApi,
    UpdateProof,
)
from tests.runtime.bench import Chain
from tests.runtime.pallets.training_bench import NETUID, Bench, marks, root_of


def bound(bench: Bench, api: Any) -> Any:
    return api(NATIVE, bench.runtime, EmptyState(), None)


def open_audit(bench: Bench, update: Update) -> Audit:
    """Return the audit of a newcomer's update."""
    audit: Audit = bench.runtime.verification.audits[NETUID, 1, update.miner]
    return audit


def played(rounds: int, **numbers: int) -> Bench:
    bench = Bench(1, 3, **numbers)
    bench.start()
    for number in range(1, rounds + 1):
        bench.play(root_of(number))
    return bench


def test_a_proof_of_every_update_leads_to_the_root() -> None:
    bench = played(2)
    api = bound(bench, ModelUpdatesApi)
    shown = codec(UpdateProof | None)
    for leaf in range(6):
        proof = shown.decode(shown.encode(api.proof(leaf)))
        assert (proof.netuid, proof.round, proof.leaf, proof.leaf_count) == (NETUID, 1 + leaf // 3, leaf, 6)
        hashed = leaf_hash(proof.netuid, proof.round, proof.update)
        assert mmr.is_proven(hashed, leaf, 6, proof.path, proof.peaks)
        assert mmr.root(6, proof.peaks) == api.root()
    assert api.proof(6) is None
    assert api.proof(2**64 - 1) is None


def test_a_round_is_told_while_it_runs_and_when_it_is_over() -> None:
    bench = played(1, checkpoint_rounds=1, audit_rate_ppm=1)
    api = bound(bench, TrainingApi)
    training, updates = bench.runtime.training, bench.runtime.model_updates
    scores = [marks(uid, 333_333) for uid in (1, 2, 3)]
    first = api.round(NETUID, 1)
    assert first == RoundInfo(
        NETUID, 1, bench.now, training.rounds[NETUID, 1], 3,
        [
            RoundUpdate(uid, update, False, open_audit(bench, update))
            for uid, update in enumerate(updates.revealed(NETUID, 1), 1)
        ],
        [RoundJudge(0, bench.judges[0], scores, False, root_of(1))], True,
        parameter_set(bench.runtime.subnets.parameters(NETUID)),
    )  # fmt: skip
    assert (first.state.phase, first.state.new_root) == (Phase.Closed, root_of(1))
    whole = codec(RoundInfo | None)
    assert whole.decode(whole.encode(first)) == first
    bench.mine(0)
    bench.commit_scores(0, scores[:1])
    api = bound(bench, TrainingApi)
    second = api.round(NETUID, 2)
    assert (second.commits, [each.uid for each in second.updates]) == (1, [1])
    assert second.judges == [RoundJudge(0, bench.judges[0], None, False, None)]
    assert not second.checkpoint
    assert api.round(NETUID, 3) is None
    assert api.round(9, 1) is None


def test_the_lineage_comes_in_bounded_pages() -> None:
    bench = played(2, checkpoint_rounds=2)
    api = bound(bench, TrainingApi)
    entries = [bench.runtime.training.lineage[NETUID, number] for number in (1, 2)]
    steps = [LineageStep(1, entries[0], False), LineageStep(2, entries[1], True)]
    sets = [NumberedSet(1, parameter_set(bench.runtime.subnets.parameters(NETUID)))]
    assert api.lineage(NETUID, 0, 2**32 - 1) == Lineage(NETUID, bench.now, 0, 3, steps, sets)
    assert api.lineage(NETUID, 2, 2).steps == steps[1:]
    nothing = api.lineage(NETUID, 2, 1)
    assert (nothing.steps, nothing.parameter_sets) == ([], [])
    bench.runtime.training.current_round[NETUID] = 10_000
    page = api.lineage(NETUID, 2, 9_999)
    assert (page.first, page.last, page.steps) == (2, 1 + MOST_STEPS, steps[1:])


def test_a_chain_without_updates_answers_too() -> None:
    chain = Chain()
    chain.build()

    def ask(name: str, argument: bytes = b"") -> bytes:
        return answer(chain.state, chain.head, name, argument)

    assert ask("ModelUpdatesApi_root") == mmr.root(0, [])
    assert ask("ModelUpdatesApi_proof", bytes(8)) == b"\0"
    assert ask("TrainingApi_round", b"\1\0\1\0\0\0") == b"\0"
    nothing = Lineage(1, 1, 1, 0, [], [])
    assert ask("TrainingApi_lineage", b"\1\0\1\0\0\0\xff\0\0\0") == codec(Lineage).encode(nothing)
