"""Who stands for election, and who backs whom: validators and nominators, counted."""

from dataclasses import dataclass

from runtime.frame.errors import ensure
from runtime.frame.storage import Map, Value
from runtime.pallets.staking.messages import Error
from runtime.pallets.staking.types import BILLION, Nominations, ValidatorPrefs
from runtime.primitives.types import AccountId


@dataclass(frozen=True, slots=True)
class Roles:
    """A stash is a validator, a nominator, or neither."""

    validators: Map[AccountId, ValidatorPrefs]
    nominators: Map[AccountId, Nominations]
    commissions: Map[AccountId, tuple[int, int]]
    validator_count: Value[int]
    nominator_count: Value[int]

    def validate(self, stash: AccountId, prefs: ValidatorPrefs) -> None:
        """Make a stash a validator."""
        self._remove_nominator(stash)
        if stash not in self.validators:
            self.validator_count.put(self.validator_count.get() + 1)
        self.validators[stash] = prefs

    def ask(self, stash: AccountId, commission: int, least: int, rise: int, era: int) -> None:
        """Note what a stash asks for: in a later era than it last did, one rise more than then at most.

        The first time it chooses freely; after that nominators can leave before it takes much.
        Raises: DispatchError.
        """
        last, since = self.commissions.get(stash) or (BILLION, era)
        ensure(commission >= least, Error.CommissionTooLow)
        ensure(commission <= max(least, last + rise * (era > since)), Error.CommissionRisesTooFast)
        self.commissions[stash] = (commission, era)

    def nominate(self, stash: AccountId, nominations: Nominations) -> None:
        """Make a stash a nominator."""
        self._remove_validator(stash)
        if stash not in self.nominators:
            self.nominator_count.put(self.nominator_count.get() + 1)
        self.nominators[stash] = nominations

    def chill(self, stash: AccountId) -> bool:
        """Take the role of a stash away; say whether it had one."""
        return self._remove_validator(stash) or self._remove_nominator(stash)

    def takes_nominations(self, target: AccountId) -> bool:
        """Say whether an account is a validator that may be nominated anew."""
        prefs = self.validators.get(target)
        return prefs is not None and not prefs.blocked

    def is_crowded(self, stash: AccountId, most: tuple[int | None, int | None], percent: int | None) -> bool:
        """Say whether so much of the most validators, or nominators, there may be of a stash's role stand."""
        is_nominator = stash in self.nominators
        limit, count = most[is_nominator], (self.validator_count, self.nominator_count)[is_nominator].get()
        return percent is not None and limit is not None and percent * limit // 100 < count

    def votes(self, after: AccountId | None, limit: int) -> list[tuple[AccountId, list[AccountId]]]:
        """Return so many voters behind one: validators vote for themselves, nominators for their targets.

        Both maps have the same order of keys, so who changes roles meanwhile still votes once.
        """
        own = [(key, stash, [stash]) for key, stash, _ in self.validators.after(after, limit)]
        named = [(key, stash, each.targets) for key, stash, each in self.nominators.after(after, limit)]
        return [(stash, targets) for _, stash, targets in sorted([*own, *named])[:limit]]

    def _remove_validator(self, stash: AccountId) -> bool:
        if self.validators.take(stash) is None:
            return False
        self.validator_count.put(self.validator_count.get() - 1)
        return True

    def _remove_nominator(self, stash: AccountId) -> bool:
        if self.nominators.take(stash) is None:
            return False
        self.nominator_count.put(self.nominator_count.get() - 1)
        return True

    def check(self) -> None:
        """Assert that nobody has two roles and the counters are right."""
        validators, nominators = {*self.validators.keys()}, {*self.nominators.keys()}
        assert not validators & nominators
        assert (len(validators), len(nominators)) == (self.validator_count.get(), self.nominator_count.get())
