"""Historical: who the validators of past sessions were, as long as they can be slashed for them.

Of each session only the root of a trie stays (primitives/membership.py); an accuser brings the path from it.
Source: FRAME's pallet_session::historical.
"""

from collections.abc import Sequence
from typing import Annotated, Protocol

from runtime.frame.declare import coupled
from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.primitives.babe import MAX_AUTHORITIES
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.membership import (
    Identification,
    Member,
    MembershipProof,
    prove_membership,
    session_root,
    verify_membership,
)
from runtime.primitives.session import Authority
from runtime.primitives.shapes import Bounded, u32, u64
from runtime.primitives.types import AccountId, Ed25519Public, Hash

MAX_PRUNED = 4
"""Sessions forgotten when one begins; more than one only after the bonding duration was shortened."""


class Bonding(Protocol):
    """How long a validator answers for what it signed."""

    sessions_per_era: u32
    bonding_duration: u32


class Historical(Pallet[None, NoError]):
    """The roots of the sessions whose validators still have something at stake."""

    staking: Bonding = coupled()

    historical_sessions: Map[u32, tuple[Hash, u32]] = storage(hasher=twox_64_concat)
    stored_range: Value[tuple[u32, u32]] = storage()
    members: Value[
        Annotated[list[tuple[AccountId, Ed25519Public, Ed25519Public, u64]], Bounded(MAX_AUTHORITIES)]
    ] = storage(default=[])

    # Session's handler.

    def on_genesis_session(self, validators: Sequence[Authority]) -> None:
        """Remember the validators of session 0."""
        self._remember(0, validators)

    def on_new_session(
        self, index: int, changed: bool, validators: Sequence[Authority], queued: Sequence[Authority]
    ) -> None:
        """Remember the validators of a session that begins, forget those of one that is over long ago."""
        self._remember(index, validators)

    def on_disabled(self, index: int) -> None:
        """Nothing follows: who is disabled stays a member."""

    def _remember(self, session: int, validators: Sequence[Authority]) -> None:
        members = [Member(each.stash, each.keys.babe, each.keys.grandpa, each.weight) for each in validators]
        known = self.historical_sessions.get(session - 1) if session else None
        if known is None or members != self.members.get():
            self.members.put(list(members))
            known = session_root(members), len(members)
        self.historical_sessions[session] = known
        first, _ = self.stored_range.find() or (session, session)
        self.stored_range.put((self._prune(first, session), session + 1))

    def _prune(self, first: int, current: int) -> int:
        """Forget what no bond answers for any more, a few at a time; return the first session kept."""
        needed = current - self.staking.sessions_per_era * (self.staking.bonding_duration + 1)
        kept = max(first, min(needed, first + MAX_PRUNED))
        for session in range(first, kept):
            del self.historical_sessions[session]
        return kept

    # What others ask.

    def prove(self, kind: bytes, key: bytes) -> MembershipProof | None:
        """Return the proof of who owns a key in the current session, None where nobody does."""
        stored = self.stored_range.find()
        if stored is None:
            return None
        members = [Member(*each) for each in self.members.get()]
        return prove_membership(stored[1] - 1, members, kind, key)

    def check_proof(self, kind: bytes, key: bytes, proof: MembershipProof) -> Identification | None:
        """Return who owned a key in the session of a proof, None where that is not shown or too long ago."""
        stored = self.historical_sessions.get(proof.session)
        if stored is None or stored[1] != proof.validator_count:
            return None
        return verify_membership(stored[0], proof, kind, key)

    def is_future(self, session: int) -> bool:
        """Say whether a session has not begun yet."""
        stored = self.stored_range.find()
        return stored is None or session >= stored[1]

    def try_state(self) -> None:
        """There is a root for each session of the range, and for no other."""
        first, end = self.stored_range.find() or (0, 0)
        assert sorted(self.historical_sessions.keys()) == list(range(first, end))
