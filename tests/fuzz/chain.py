"""A small real chain, built once: the encodings that the corpora start from."""

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chain.keys import Keypair
from runtime.frame.base import Call
from runtime.frame.testing import MemoryState
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives.babe import Authorities
from runtime.primitives.crypto import Sr25519
from runtime.primitives.era import IMMORTAL
from runtime.primitives.grandpa import (
    Commit,
    GrandpaJustification,
    Precommit,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.header import Header
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import EXECUTIVE, VERSION
from tests.chain import chains

ALICE = Keypair.from_suri("//Alice", "sr25519")
BLOCKS = 3


@dataclass(frozen=True)
class Known:
    """Blocks 1 to BLOCKS, the state after the last one, and proofs of it."""

    genesis: dict[bytes, bytes]
    genesis_hash: Hash
    blocks: list[tuple[Header, list[bytes]]]
    state: MemoryState
    root: Hash
    proof: list[bytes]
    proof_keys: list[bytes]
    voters: Authorities
    set_id: int
    justification: bytes
    first_ms: int
    authority: bytes


@cache
def chain() -> Known:
    """Return the chain; every process builds the same one, but for the salt in sr25519 signatures."""
    with tempfile.TemporaryDirectory() as home:
        real = chains.Chain(Path(home) / "db")
        try:
            return _grown(real)
        finally:
            real.store.close()


def _grown(real: chains.Chain) -> Known:
    genesis = real.store.state_at(real.store.genesis_hash)
    entries = {key: genesis.get(key) or b"" for key in genesis.keys(b"")}
    blocks = []
    for number in range(BLOCKS):
        extrinsics = (real.remark(number - 1),) if number else ()
        block = real.grow(chains.FIRST_SLOT + number, extrinsics)
        header = real.store.header(block)
        assert header is not None
        blocks.append((header, real.store.body(block) or []))
    state = real.store.state_at(real.store.best)
    keys = list(state.keys(b""))
    proven = [*keys[::7], b"absent", b""]
    voters, set_id = real.executor.grandpa_set(state)
    target, number = blocks[-1][0].hash(), blocks[-1][0].number
    vote = Precommit(target, number)
    signature = chains.ALICE.sign(localized_payload(vote, 1, set_id))
    commit = Commit(target, number, [SignedPrecommit(vote, signature, chains.ALICE.public)])
    return Known(
        entries,
        real.store.genesis_hash,
        blocks,
        MemoryState({key: state.get(key) or b"" for key in keys}),
        blocks[-1][0].state_root,
        state.prove(proven),
        proven,
        voters,
        set_id,
        GrandpaJustification(1, commit, []).encode(),
        chains.FIRST_SLOT * chains.SLOT_MS,
        chains.ALICE.public,
    )


def signed(call: Call, nonce: int) -> bytes:
    """Return a call signed by //Alice for a child of the chain's last block."""
    extra = ((), (), (), (), IMMORTAL, nonce, (), 0, MetadataHashMode.Disabled, ())
    first = chain().genesis_hash
    implied = ((), VERSION.spec_version, VERSION.transaction_version, first, first, (), (), (), None, ())
    signature = Sr25519(ALICE.sign(EXECUTIVE.format.payload(call, extra, implied)))
    return EXECUTIVE.format.signed(call, AccountId(ALICE.public), signature, extra)


def remark(nonce: int, text: bytes) -> bytes:
    """Return a signed System.remark."""
    return signed(EXECUTIVE.runtime.call("System", "remark", text), nonce)
