"""Random miners, judges, intruders and owners over many blocks: the invariants of rounds hold throughout."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.errors import DispatchError
from runtime.pallets.model_updates.types import Delivery, DoublePublication
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.training.types import ENDED, Phase, RoundClosed, RoundOpened, RoundVoided
from runtime.primitives.commitments import Score
from tests.runtime.pallets.training_bench import (
    ASY,
    NETUID,
    OWNER,
    STRANGER,
    Bench,
    digest_of,
    marks,
    root_of,
)

JUDGES, MINERS = 3, 3
ACTORS = JUDGES + MINERS
MISCHIEF = (
    "copy", "double", "overscore", "fork", "leave", "join", "stranger", "early", "lie", "accuse", "tune",
)  # fmt: skip
EVERYBODY = (1 << ACTORS) - 1


def attempt(bench: Bench, who: Any, pallet: str, name: str, *arguments: Any) -> None:
    """Dispatch a call that may be refused."""
    try:
        bench.ext.dispatch(who, pallet, name, NETUID, *arguments)
    except DispatchError:
        return


def refused(bench: Bench, who: Any, pallet: str, name: str, *arguments: Any) -> None:
    """Dispatch a call that must be refused."""
    with pytest.raises(DispatchError):
        bench.ext.dispatch(who, pallet, name, NETUID, *arguments)


def verdict(bench: Bench, judge: int) -> list[Score]:
    """Return what a judge thinks: the payloads that were revealed, less one for each judge but the first."""
    revealed = bench.runtime.model_updates.revealed(NETUID, bench.number)
    uids = [bench.runtime.neurons.uid_of(NETUID, update.miner) for update in revealed]
    listed = [uid for uid in uids if uid is not None and uid != judge]
    return [marks(uid, 1_000_000 // max(1, len(listed))) for uid in listed[judge > 1 :]]


def act(bench: Bench, actor: int) -> None:
    """Let an honest judge or miner do what the phase asks of it."""
    judge, miner = actor, actor - JUDGES
    mining: dict[Phase, Callable[[], None]] = {
        Phase.Train: lambda: bench.commit(miner),
        Phase.Reveal: lambda: bench.reveal(miner),
    }
    judging: dict[Phase, Callable[[], None]] = {
        Phase.ScoreCommit: lambda: bench.commit_scores(judge, verdict(bench, judge)),
        Phase.ScoreReveal: lambda: bench.reveal_scores(judge, verdict(bench, judge)),
        Phase.Attest: lambda: bench.attest(judge, root_of(bench.number)),
    }
    duty = (mining if miner >= 0 else judging).get(bench.phase)
    try:
        if duty is not None:
            duty()
    except DispatchError:
        return


def misbehave(bench: Bench, kind: str, who: int) -> None:
    """Let somebody do something that is none of its business, or leave, or come back."""
    miner, judge = bench.miners[who % MINERS], bench.judges[who % JUDGES]
    number = bench.number
    match kind:
        case "copy":
            attempt(bench, miner, "ModelUpdates", "commit", number, bench.sealed((who + 1) % MINERS))
        case "double":
            attempt(bench, miner, "ModelUpdates", "reveal", number, *bench.opened(who % MINERS))
        case "overscore":
            attempt(bench, judge, "Verification", "reveal_scores", number, [marks(0, 2_000_000)], bytes(32))
        case "fork":
            attempt(bench, judge, "Training", "attest_root", number, root_of(200 + who % 3))
        case "leave":
            attempt(bench, miner, "Neurons", "deregister", miner)
        case "join":
            attempt(bench, miner, "Neurons", "burned_register", miner, 1_000 * ASY)
        case "stranger":
            attempt(bench, STRANGER, "ModelUpdates", "commit", number, root_of(1))
        case "lie":  # the miner signs for other bytes than it revealed, and is told on
            lying = bench.receipt(who % MINERS, digest_of(who % MINERS, number), root_of(9))
            attempt(bench, judge, "ModelUpdates", "submit_evidence", number, miner, Delivery(lying))
        case "accuse":
            own = digest_of(who % MINERS, number)
            honest = bench.receipt(who % MINERS, own, own)
            for false in (Delivery(honest), DoublePublication(honest, honest)):
                refused(bench, judge, "ModelUpdates", "submit_evidence", number, miner, false)
        case "early":
            attempt(bench, miner, "ModelUpdates", "commit", number + 1, bench.sealed(who % MINERS))
        case "tune":  # the owner does what it may, and what it may not any more
            attempt(bench, OWNER, "Subnets", "set_hyperparameter", Parameter.top_k, 16 + who)
            refused(bench, OWNER, "Training", "found_model", root_of(9))


def trail(bench: Bench) -> dict[Any, Any]:
    """Return everything that must never change again."""
    runtime = bench.runtime
    rounds = {key: stored for key, stored in runtime.training.rounds.items() if stored.phase in ENDED}
    return {
        **{("commit", *key): stored for key, stored in runtime.model_updates.commits.under()},
        **{("update", *key): stored for key, stored in runtime.model_updates.updates.under()},
        **{("lineage", *key): stored for key, stored in runtime.training.lineage.items()},
        **{("round", *key): stored for key, stored in rounds.items()},
        **{("node", key): stored for key, stored in runtime.model_updates.nodes.items()},
        **{("leaf", key): stored for key, stored in runtime.model_updates.leaves.items()},
        **{("guilty", *key): stored for key, stored in runtime.model_updates.guilty.under()},
        **{("checkpoint", *key): stored for key, stored in runtime.training.checkpoints.items()},
        **{("numbers", *key): stored for key, stored in runtime.training.parameter_sets.items()},
    }


presence = st.sampled_from((EVERYBODY, EVERYBODY, None)).flatmap(
    lambda mask: st.integers(0, EVERYBODY) if mask is None else st.just(mask)
)
mischief = st.none() | st.none() | st.tuples(st.sampled_from(MISCHIEF), st.integers(0, 7))
blocks = st.lists(st.tuples(presence, mischief, st.integers(0, 9)), min_size=25, max_size=45)


@settings(max_examples=12)
@given(blocks, st.integers(0, 90))
def test_invariants_hold_whatever_happens(
    history: list[tuple[int, tuple[str, int] | None, int]], paused: int
) -> None:
    numbers = {"checkpoint_rounds": 1, "audit_rate_ppm": 300_000, "tempo": 10}
    bench = Bench(JUDGES, MINERS, stakes=[1_000, 1_500, 700], authorities=4, signing=True, **numbers)
    bench.start()
    kept: dict[Any, Any] = {}
    open_rounds = {1}
    for honest, deed, luck in history:
        for actor in range(ACTORS):
            if honest >> actor & 1:
                act(bench, actor)
        if deed is not None:
            misbehave(bench, *deed)
        if bench.now - paused in (0, 3):
            attempt(bench, Root(), "Subnets", "unpause" if bench.now > paused else "pause")
        for each in bench.step(author=0 if luck == 9 else bench.now % 4):
            if isinstance(each, RoundOpened):
                open_rounds.add(each.round)
            elif isinstance(each, RoundClosed | RoundVoided):
                open_rounds.remove(each.round)
        assert len(open_rounds) == (bench.phase is not Phase.Idle)
        assert kept.items() <= trail(bench).items()
        kept = trail(bench)
