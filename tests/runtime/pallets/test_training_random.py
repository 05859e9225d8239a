"""Random miners, judges, intruders and owners over many blocks: the invariants of rounds hold throughout."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.errors import DispatchError
from runtime.pallets.training.types import ENDED, Phase, RoundClosed, RoundOpened, RoundVoided
from runtime.primitives.commitments import Score
from tests.runtime.pallets.training_bench import ASY, NETUID, STRANGER, Bench, marks, root_of

JUDGES, MINERS = 3, 3
ACTORS = JUDGES + MINERS
MISCHIEF = ("copy", "double", "overscore", "fork", "leave", "join", "pause", "unpause", "stranger", "early")


def attempt(bench: Bench, who: Any, pallet: str, name: str, *arguments: Any) -> None:
    """Dispatch a call that may be refused."""
    try:
        bench.ext.dispatch(who, pallet, name, NETUID, *arguments)
    except DispatchError:
        return


def verdict(bench: Bench, judge: int) -> list[Score]:
    """Return what a judge thinks: the payloads that were revealed, less one for each judge but the first."""
    revealed = bench.runtime.model_updates.revealed(NETUID, bench.number)
    uids = [bench.runtime.neurons.uid_of(NETUID, update.miner) for update in revealed]
    listed = [uid for uid in uids if uid is not None and uid != judge]
    return [marks(uid, 1_000_000 // max(1, len(listed))) for uid in listed[judge > 1 :]]


def act(bench: Bench, actor: int) -> None:
    """Let an honest judge or miner do what the phase asks of it."""
    judge, miner = actor, actor - JUDGES
    phase, calls = bench.phase, []
    if phase is Phase.Train and miner >= 0:
        calls = [lambda: bench.commit(miner)]
    elif phase is Phase.Reveal and miner >= 0:
        calls = [lambda: bench.reveal(miner)]
    elif phase is Phase.ScoreCommit and miner < 0:
        calls = [lambda: bench.commit_scores(judge, verdict(bench, judge))]
    elif phase is Phase.ScoreReveal and miner < 0:
        calls = [lambda: bench.reveal_scores(judge, verdict(bench, judge))]
    elif phase is Phase.Attest and miner < 0:
        calls = [lambda: bench.attest(judge, root_of(bench.number))]
    for each in calls:
        try:
            each()
        except DispatchError:
            continue


def misbehave(bench: Bench, kind: str, who: int) -> None:
    """Let somebody do something that is none of its business, or a stroke of fate happen."""
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
        case "pause" | "unpause":
            attempt(bench, Root(), "Subnets", kind)
        case "stranger":
            attempt(bench, STRANGER, "ModelUpdates", "commit", number, root_of(1))
        case "early":
            attempt(bench, miner, "ModelUpdates", "commit", number + 1, bench.sealed(who % MINERS))


def trail(bench: Bench) -> dict[Any, Any]:
    """Return everything that must never change again."""
    runtime = bench.runtime
    rounds = {key: stored for key, stored in runtime.training.rounds.items() if stored.phase in ENDED}
    return {
        **{("commit", *key): stored for key, stored in runtime.model_updates.commits.under()},
        **{("update", *key): stored for key, stored in runtime.model_updates.updates.under()},
        **{("lineage", *key): stored for key, stored in runtime.training.lineage.items()},
        **{("round", *key): stored for key, stored in rounds.items()},
    }


blocks = st.lists(
    st.tuples(
        st.integers(0, (1 << ACTORS) - 1) | st.just((1 << ACTORS) - 1),
        st.lists(st.tuples(st.sampled_from(MISCHIEF), st.integers(0, 7)), max_size=2),
        st.integers(0, 3),
    ),
    min_size=10,
    max_size=36,
)


@settings(max_examples=15, deadline=None)
@given(blocks)
def test_invariants_hold_whatever_happens(history: list[tuple[int, list[tuple[str, int]], int]]) -> None:
    bench = Bench(JUDGES, MINERS, stakes=[1_000, 1_500, 700], authorities=4)
    bench.start()
    kept: dict[Any, Any] = {}
    open_rounds = {1}
    for honest, mischief, author in history:
        for actor in range(ACTORS):
            if honest >> actor & 1:
                act(bench, actor)
        for kind, who in mischief:
            misbehave(bench, kind, who)
        for each in bench.step(author):
            if isinstance(each, RoundOpened):
                open_rounds.add(each.round)
            elif isinstance(each, RoundClosed | RoundVoided):
                open_rounds.remove(each.round)
        assert len(open_rounds) == (bench.phase is not Phase.Idle)
        assert kept.items() <= trail(bench).items()
        kept = trail(bench)
