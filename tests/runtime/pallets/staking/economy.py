"""A small chain for the tests of this directory: real sessions, elections, pot and ledger of accounts.

Eras have two sessions of four blocks. Validators v0, v1, ... stand at genesis with session keys.
"""

from typing import Any

from runtime.frame.declare import Root, Unsigned
from runtime.frame.testing import Externalities
from runtime.pallets.staking.types import Staked, ValidatorPrefs
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId, Balance
from tests.runtime.pallets.market import Market

ASY = 10**12
"""planck"""
FUNDS = 10_000 * ASY
"""planck of every account at genesis"""
STAKES = (4_000, 3_000, 2_000)
"""ASY bonded by v0, v1 and v2"""
EXISTENTIAL_DEPOSIT = ASY // 1_000
SESSION, SLOT_MS = 4, 2_000
BILLION = 10**9
PEOPLE = 4
MOST_BLOCKS = 400
"""Blocks one test waits for an era."""


def account(name: str) -> AccountId:
    """Return an account nobody needs the key of."""
    return AccountId(blake2_256(name.encode()))


V0, V1, V2 = (account(f"v{number}") for number in range(3))
N0, N1, N2, N3 = (account(f"n{number}") for number in range(PEOPLE))


def hexed(raw: bytes) -> str:
    """Return 0x and hex digits."""
    return "0x" + raw.hex()


class Economy:
    """Drives the chain call by call and block by block."""

    def __init__(
        self,
        stakes: tuple[int, ...] = STAKES,
        *,
        constants: Any = None,
        election: Any = None,
        market: Any = None,
        **staking: Any,
    ) -> None:
        stashes = [account(f"v{number}") for number in range(len(stakes))]
        people = [account(f"n{number}") for number in range(PEOPLE)]
        keys = [[hexed(each), {"babe": hexed(each), "grandpa": hexed(each)}] for each in stashes]
        chosen = {
            "stakers": [[hexed(s), stake * ASY] for s, stake in zip(stashes, stakes, strict=True)],
            "validator_count": 8,
            "min_validator_bond": 1_000 * ASY,
            "min_nominator_bond": 10 * ASY,
            "slash_reward_fraction": BILLION // 10,
        }
        genesis: dict[str, Any] = {
            "constants": {
                "Babe": {"EpochDuration": SESSION, "ExpectedBlockTime": SLOT_MS},
                "Balances": {"ExistentialDeposit": EXISTENTIAL_DEPOSIT},
                "Incentive": {"BlockReward": ASY},
                "ElectionProvider": election or {},
                "Staking": {"BondingDuration": 3, "SlashDeferDuration": 1, **(constants or {})},
            },
            "balances": {"balances": [[hexed(who), FUNDS] for who in [*stashes, *people]]},
            "session": {"keys": keys},
            "staking": chosen | staking,
        }
        for name, section in (market or {}).items():
            genesis[name] = genesis.get(name, {}) | section
        self.ext = Externalities(Market, genesis=genesis)
        self.slot = 0

    @property
    def runtime(self) -> Any:
        """Return the runtime of the open block."""
        return self.ext.runtime

    @property
    def staking(self) -> Any:
        """Return the pallet, bound to the open block."""
        return self.ext.runtime.staking

    @property
    def balances(self) -> Any:
        """Return the ledger of accounts."""
        return self.ext.runtime.balances

    @property
    def era(self) -> int:
        """Return the active era."""
        index: int = self.staking.active_era.find().index
        return index

    @property
    def session(self) -> int:
        """Return the current session."""
        index: int = self.runtime.session.current_index.get()
        return index

    # Blocks.

    def step(self, author: int | None = None) -> list[Any]:
        """Close the block and open the next; return what its hooks deposited."""
        ready = self._ready()
        self.ext.close_block()
        self.slot += 1
        index = ready[self.slot % len(ready)] if author is None else author
        self.ext.open_block((pre_digest_item(SecondaryPlain(index, self.slot)),))
        self.ext.dispatch(Unsigned(), "Timestamp", "set", self.slot * SLOT_MS)
        return self.ext.new_events()

    def _ready(self) -> list[int]:
        """Return who may author the next block, which a new session's set opens where one begins with it."""
        session, babe = self.runtime.session, self.runtime.babe
        if babe.epoch_at(self.slot + 1) <= babe.epoch_index.get():
            return [each for each in range(len(session.validators.get())) if not session.is_disabled(each)]
        queued, disabled = session.queued_keys.get(), dict(session.disabled_since.get())
        return [place for place, (stash, _) in enumerate(queued) if stash not in disabled] or list(
            range(len(queued))
        )

    def run_to_era(self, era: int) -> list[Any]:
        """Open blocks until an era is active; return what the hooks of the last one deposited."""
        events: list[Any] = []
        limit = self.ext.number + MOST_BLOCKS
        while self.era < era:
            assert self.ext.number < limit, f"era {self.era} does not end"
            events = self.step()
            self.runtime.try_state()
        return events

    def run_to_session(self, session: int) -> list[Any]:
        """Open blocks until a session has begun; return what the hooks of the last one deposited."""
        events: list[Any] = []
        while self.session < session:
            events = self.step()
        return events

    # Calls.

    def call(self, who: Any, name: str, *arguments: Any) -> list[Any]:
        """Make a call of Staking that must succeed; return what it deposited."""
        before = len(self.ext.new_events())
        self.ext.dispatch(who, "Staking", name, *arguments)
        self.runtime.try_state()
        return self.ext.new_events()[before:]

    def root(self, name: str, *arguments: Any) -> list[Any]:
        """Make a call as root."""
        return self.call(Root(), name, *arguments)

    def nominator(self, who: AccountId, value: int, *targets: AccountId, payee: Any = None) -> None:
        """Let somebody bond so many ASY and nominate."""
        self.call(who, "bond", value * ASY, Staked() if payee is None else payee)
        self.call(who, "nominate", list(targets))

    def commission(self, who: AccountId, fraction: int) -> None:
        """Let a validator set its commission in parts per billion."""
        self.call(who, "validate", ValidatorPrefs(fraction, False))

    def offend(self, who: AccountId, percent: int, *reporters: AccountId, session: int | None = None) -> None:
        """Report an offence."""
        at = self.session if session is None else session
        self.staking.on_offence(who, percent * BILLION // 100, at, list(reporters))
        self.runtime.try_state()

    # What there is.

    def active(self, who: AccountId) -> Balance:
        """Return what a stash has at stake."""
        ledger = self.staking.ledger.get(who)
        return ledger.active if ledger else 0

    def free(self, who: AccountId) -> Balance:
        """Return an account's free balance."""
        value: Balance = self.balances.free(who)
        return value

    def issuance(self) -> Balance:
        """Return all there is."""
        value: Balance = self.balances.total_issuance.get()
        return value
