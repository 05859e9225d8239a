"""What the node answers to whoever runs it: keys, votes, slots. Satisfies chain.rpc.backend.Operator."""

import asyncio

from chain.consensus.grandpa.justification import next_round
from chain.consensus.guard import Guard
from chain.consensus.slots import Epoch, claim
from chain.executor import Executor
from chain.keys import Keypair
from chain.rpc.backend import Round, RoundState, Slots, Votes
from chain.session_keys import SessionKeys
from chain.storage.store import ChainStore
from runtime.primitives.babe import PRE_DIGEST, Primary
from runtime.primitives.grandpa import supermajority


class NodeOperator:
    """The operator's view of one node."""

    def __init__(
        self, peer_id: str, keys: SessionKeys, guard: Guard, store: ChainStore, executor: Executor
    ) -> None:
        self.peer_id = peer_id
        self._keys = keys
        self._guard = guard
        self._store = store
        self._executor = executor

    def insert_key(self, key_type: bytes, suri: str, public: bytes) -> None:
        """Store a session key and sign with it from now on.

        Raises: KeystoreError, OSError.
        """
        self._keys.insert(key_type, suri, public)

    def rotate_keys(self) -> bytes:
        """Make a new session key of every type; return the public keys in the order of the runtime.

        Raises: KeystoreError, OSError.
        """
        return self._keys.rotate()

    def has_key(self, key_type: bytes, public: bytes) -> bool:
        """Say whether the keystore has a key."""
        return self._keys.has(key_type, public)

    def round_state(self) -> RoundState | None:
        """Return the round this node votes in next, in which nobody has voted; None without votes of ours."""
        if not self._keys.voters:
            return None
        voters, set_id = self._executor.grandpa_set(self._store.state_at(self._store.finalized))
        total = sum(weight for _, weight in voters)
        silence = Votes(0, tuple(public for public, _ in voters))
        number = next_round(self._guard, self._keys.voters, set_id)
        return RoundState(set_id, Round(number, total, supermajority(total), silence, silence))

    async def epoch_authorship(self) -> dict[bytes, Slots]:
        """Return the slots of the current epoch by BABE key of this node."""
        epoch, first, count = self._executor.current_epoch(self._store.state_at(self._store.best))
        pairs = [pair for pair in self._keys.authors if epoch.index_of(pair.public) is not None]
        return {
            pair.public: await asyncio.to_thread(_slots, pair, epoch, range(first, first + count))
            for pair in pairs
        }


def _slots(pair: Keypair, epoch: Epoch, slots: range) -> Slots:
    """Claim every slot of an epoch; takes a millisecond or so for each."""
    primary: list[int] = []
    secondary: list[int] = []
    for slot in slots:
        ours = claim(pair, slot, epoch)
        if ours is not None:
            (primary if isinstance(PRE_DIGEST.decode(ours._1), Primary) else secondary).append(slot)
    return Slots(primary=tuple(primary), secondary_vrf=tuple(secondary))
