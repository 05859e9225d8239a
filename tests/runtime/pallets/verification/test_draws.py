"""Who is audited first where judges have little room: nobody hides in a crowd of newcomers."""

from typing import Any

import pytest

from runtime.pallets.training.types import Phase
from runtime.pallets.verification import auditing
from runtime.pallets.verification import pallet as verification
from runtime.pallets.verification.types import AuditLapsed, Standing, Verdict
from runtime.primitives.types import AccountId, Hash
from tests.runtime.pallets.training_bench import NETUID, account, marks
from tests.runtime.pallets.verification.court import Court

CROWD = 12
FLAGGED, LUCKLESS = 11, 7
"""Among a crowd of newcomers: whose pay is withheld, and whom the lot falls on."""


def crowded(judges: int, blocks: int = 1, newcomers: bool = True, **options: Any) -> tuple[Court, list[Any]]:
    """Return a court with one audit for each judge to give, when all are drawn, and what happened."""
    court = Court(judges, CROWD, audit_window=1, newcomer_rounds=10 * newcomers, **options)
    court.start()
    court.mine(*range(CROWD))
    court.runtime.verification.standings[NETUID, court.uid(FLAGGED)] = Standing(20, 0, 1)
    scores = [marks(court.uid(miner), 1_000) for miner in range(CROWD)]
    for judge in range(judges):
        court.commit_scores(judge, scores)
    court.run_to(Phase.ScoreReveal)
    for judge in range(judges):
        court.reveal_scores(judge, scores)
    events = [each for _ in range(blocks) for each in court.step()]
    assert court.phase is Phase.Attest
    return court, events


def audited(court: Court) -> list[int]:
    return [miner for miner in range(CROWD) if court.audit(miner) is not None]


@pytest.fixture
def lot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the lot fall on one miner."""

    def falls(beacon: Hash, miner: AccountId, rate_ppm: int) -> bool:
        return miner == account(f"miner {LUCKLESS}")

    monkeypatch.setattr(auditing, "is_drawn", falls)


@pytest.mark.usefixtures("lot")
@pytest.mark.parametrize("blocks", [1, 4])
def test_the_flagged_come_first_then_the_drawn_then_newcomers(
    blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given that a block looks at few of them, then it is so in however many blocks they are drawn."""
    if blocks > 1:
        monkeypatch.setattr(verification, "JOBS_PER_BLOCK", 6)
    assert audited(crowded(1, blocks)[0]) == [FLAGGED]
    assert audited(crowded(2, blocks)[0]) == [LUCKLESS, FLAGGED]
    court, events = crowded(4, blocks)
    found = audited(court)
    assert len(found) == 4
    assert {LUCKLESS, FLAGGED} < set(found)
    lapsed = [each.miner for each in events if isinstance(each, AuditLapsed)]
    assert sorted(lapsed) == sorted(court.miners[miner] for miner in range(CROWD) if miner not in found)
    rounds = [court.standing(miner).rounds for miner in range(FLAGGED)]
    assert rounds == [int(miner in found) for miner in range(FLAGGED)]
    assert court.standing(FLAGGED).rounds == 21
    assert court.runtime.verification.agenda.get() == []


@pytest.mark.usefixtures("lot")
def test_the_lot_falls_on_old_hands_and_spares_the_others() -> None:
    court, events = crowded(4, newcomers=False)
    assert audited(court) == [LUCKLESS, FLAGGED]
    assert [court.standing(miner).rounds for miner in range(FLAGGED)] == [1] * FLAGGED
    assert not [each for each in events if isinstance(each, AuditLapsed)]


# Judges that were contradicted.


def test_who_is_contradicted_is_counted_until_it_leaves() -> None:
    court = Court(2, 2)
    court.start()
    court.play_one()
    first = court.report(0, Verdict.Failed)
    court.step()
    second = court.report(0, Verdict.Passed)
    counts = court.runtime.verification.contradicted
    assert dict(counts.items()) == {(NETUID, first): 1}
    assert second != first
    stash = court.runtime.neurons.neuron(NETUID, first).coldkey
    while court.is_held(first):
        court.step()
    court.call(stash, "Neurons", "deregister", court.judges[first])
    assert dict(counts.items()) == {}


def test_who_takes_the_seat_of_a_contradicted_judge_is_not_blamed() -> None:
    court = Court(2, 2)
    court.start()
    court.play_one()
    first = court.report(0, Verdict.Failed)
    court.step()
    stash = court.runtime.neurons.neuron(NETUID, first).coldkey
    court.call(stash, "Neurons", "deregister", court.judges[first])
    newcomer = account("newcomer")
    court.runtime.balances.mint(newcomer, 10**16)
    court.call(newcomer, "Neurons", "burned_register", newcomer, 10**15)
    assert court.runtime.neurons.uid_of(NETUID, newcomer) == first
    court.report(0, Verdict.Passed)
    assert dict(court.runtime.verification.contradicted.items()) == {}
