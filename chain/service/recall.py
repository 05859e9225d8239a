"""At start: what the stored chain knows of the keys at work, which shows whether the guard's file is old."""

from chain.common.errors import StateDiscarded, UnknownBlock
from chain.consensus.guard import Guard
from chain.consensus.slots import pre_digest_slot, pre_hash
from chain.executor import Executor
from chain.storage.store import ChainStore
from runtime.frame.state import State
from runtime.primitives.babe import pre_digest_of
from runtime.primitives.grandpa import decode_justification
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

RECALLED = 256
"""blocks below each head that are looked at; the states of older ones are pruned by default"""


def recall(store: ChainStore, executor: Executor, guard: Guard) -> None:
    """Tell the guard of the newest blocks and votes of keys on this chain."""
    seen: set[Hash] = set()
    for block in store.leaves():
        for _ in range(RECALLED):
            header = store.header(block)
            if header is None or not header.number or block in seen:
                break
            seen.add(block)
            author = _author(store, executor, header)
            if author is None:
                break
            guard.heard_seal(author, pre_digest_slot(header), Hash(pre_hash(header.unsealed()[0])))
            block = header.parent_hash
    _recall_votes(store, executor, guard)


def _author(store: ChainStore, executor: Executor, header: Header) -> bytes | None:
    """Return who sealed a stored block, None where that was too long ago to know."""
    state = _state(store, executor, header.parent_hash)
    if state is None:
        return None
    digest = pre_digest_of(header)
    return executor.epoch(state, header.number - 1, digest.slot).authorities[digest.authority_index][0]


def _recall_votes(store: ChainStore, executor: Executor, guard: Guard) -> None:
    """Tell of the votes that made the last final block final."""
    encoded, final = store.justification(store.finalized), store.header(store.finalized)
    if encoded is None or final is None or not final.number:
        return
    state = _state(store, executor, final.parent_hash)
    if state is None:
        return
    _, set_id = executor.grandpa_set(state)
    proof = decode_justification(encoded)
    for signed in proof.commit.precommits:
        guard.heard_vote(signed.id, signed.precommit, proof.round, set_id, pre_digest_slot(final))


def _state(store: ChainStore, executor: Executor, block: Hash) -> State | None:
    """Return the state after a block, None where it is pruned, was never here or has a runtime long gone."""
    try:
        state = store.state_at(block)
    except (StateDiscarded, UnknownBlock):
        return None
    return None if executor.lacks(state) is not None else state
