"""Elections in the course of eras: nominators decide who validates, over as many blocks as it takes."""

from typing import Any

from runtime.frame.testing import Externalities
from runtime.pallets.staking.messages import StakersElected, StakingElectionFailed
from runtime.pallets.staking.types import Staked
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId
from runtime.runtime import AssayRuntime
from tests.runtime.bench import ASY

SESSION = 10
"""slots, and blocks; an era has two"""
STAKES = {"ann": 4_000, "ben": 3_000, "cat": 2_000}
"""ASY of who stands"""


def account(name: str) -> AccountId:
    return AccountId(blake2_256(name.encode()))


class Chain:
    """The whole runtime, block by block; elections have budget for one step in each."""

    def __init__(self, seats: int) -> None:
        keys = {name: "0x" + blake2_256(b"keys of " + name.encode()).hex() for name in STAKES}
        hexed = {name: "0x" + account(name).hex() for name in (*STAKES, "nick", "nora")}
        staking = {
            "validator_count": seats,
            "stakers": [[hexed[name], stake * ASY] for name, stake in STAKES.items()],
        }
        genesis = {
            "constants": {"Babe": {"EpochDuration": SESSION}, "ElectionProvider": {"BlockBudget": 1}},
            "balances": {"balances": [[each, 10_000 * ASY] for each in hexed.values()]},
            "session": {
                "keys": [[hexed[name], {"babe": keys[name], "grandpa": keys[name]}] for name in STAKES]
            },
            "staking": staking,
        }
        self.ext = Externalities(AssayRuntime, genesis=genesis)
        self.ext.number = 0
        self._open()

    @property
    def runtime(self) -> Any:
        return self.ext.runtime

    def _open(self) -> None:
        self.ext.open_block((pre_digest_item(SecondaryPlain(0, 100 + self.ext.number)),))

    def next_block(self) -> int:
        """Close the block and open the next; return its session."""
        self.runtime.try_state()
        self.ext.close_block()
        self._open()
        return self.session

    def next_session(self) -> list[Any]:
        """Build blocks up to the first of the next session; return what its hooks deposited."""
        session = self.session
        while self.next_block() == session:
            pass
        return self.ext.new_events()

    def nominate(self, who: str, stake: int, *names: str) -> None:
        self.ext.dispatch(account(who), "Staking", "bond", stake * ASY, Staked())
        self.ext.dispatch(account(who), "Staking", "nominate", [account(name) for name in names])

    @property
    def session(self) -> int:
        return int(self.runtime.session.current_index.get())

    @property
    def office(self) -> set[str]:
        stashes = self.runtime.session.validators.get()
        return {name for name in STAKES if account(name) in stashes}

    def stakes(self) -> dict[str, int]:
        """Return the ASY behind each validator of the era."""
        return {name: self.runtime.staking.stake_of(account(name)) // ASY for name in self.office}

    def phase(self) -> str:
        return type(self.runtime.election.current_phase.get()).__name__


def test_nominators_decide_who_validates() -> None:
    """The election of an era runs in the session before the last one of the era before."""
    chain = Chain(seats=1)
    chain.nominate("nick", 2_500, "cat", "ben")  # in time: voters are written down in the block after
    chain.nominate("nora", 1_500, "cat")
    phases = [chain.phase()]
    while chain.next_block() == 0:
        phases.append(chain.phase())
    assert phases == ["Snapshot"] * 2 + ["Electing"] + ["Assigning"] * 5 + ["Done"] * 2
    assert StakersElected() in chain.ext.new_events()
    assert chain.stakes() == {"ann": 4_000}
    chain.next_session()
    assert chain.stakes() == {"cat": 6_000}


def test_the_old_set_stays_while_an_election_is_unfinished() -> None:
    """Three seats take a block more than the session has; the result is taken a session later."""
    chain = Chain(seats=3)
    before = chain.stakes()
    chain.nominate("nick", 2_500, "cat")
    chain.nominate("nora", 500, "cat")
    while chain.phase() == "Snapshot":
        chain.next_block()
    chain.ext.dispatch(account("ben"), "Staking", "chill")
    events = chain.next_session()
    assert StakingElectionFailed() in events
    assert chain.phase() == "Done"  # in this very block, after it was asked for
    events = chain.next_session()
    assert StakersElected() in events
    assert chain.stakes() == before == {"ann": 4_000, "ben": 3_000, "cat": 2_000}
    chain.next_session()
    assert chain.stakes() == {"ann": 4_000, "cat": 5_000}


def test_who_is_chilled_after_the_snapshot_is_not_elected() -> None:
    chain = Chain(seats=2)
    assert chain.office == {"ann", "ben"}
    while chain.phase() != "Done":
        chain.next_block()
    chain.ext.dispatch(account("ann"), "Staking", "chill")
    chain.next_session()
    chain.next_session()
    assert chain.stakes() == {"ben": 3_000}


def test_who_unbonds_after_the_snapshot_stays_at_stake_for_the_era() -> None:
    chain = Chain(seats=1)
    chain.nominate("nick", 2_500, "cat")
    while chain.phase() != "Done":
        chain.next_block()
    chain.ext.dispatch(account("nick"), "Staking", "unbond", 2_500 * ASY)
    chain.next_session()
    chain.next_session()
    assert chain.stakes() == {"cat": 4_500}
    era = chain.runtime.staking.active_era.get().index
    chunks = chain.runtime.staking.ledger[account("nick")].unlocking
    assert [chunk.value for chunk in chunks] == [2_500 * ASY]
    assert all(chunk.era > era for chunk in chunks)
