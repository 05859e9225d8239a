"""The long form of the differential tests: how many values and edits, and what was compared."""

from random import Random

from chain.storage.trie import prove
from runtime.primitives.trie import trie_root, verify_proof
from tests.chain.storage.test_trie import Model
from tests.differential import naive_trie

BYTES = (0x00, 0x01, 0x0F, 0x10, 0x11, 0xF0, 0xFF)
"""Few, so that keys share prefixes, end inside each other and split in mid-byte."""
LENGTHS = (0, 1, 2, 16, 31, 32, 33, 40, 63, 64, 200)


def edit_sequence(seed: int, *, batches: int, largest: int) -> int:
    """Apply random batches of edits to a trie on disk's terms; return how many edits.

    After each batch its root is the naive one and that of a build from nothing, and proofs of keys that are
    there and that are not convince both verifiers.
    """
    chance, model, count = Random(seed), Model(), 0
    for _ in range(batches):
        changes = batch(chance, model.flat, largest)
        root = model.apply(changes)
        count += len(changes)
        assert root == naive_trie.root(model.flat) == trie_root(model.flat)
        asked = [_key(chance), *chance.sample(sorted(model.flat), min(2, len(model.flat)))]
        expected = {key: model.flat.get(key) for key in asked}
        proof = prove(model, asked)
        assert verify_proof(root, proof, asked) == expected
        assert {key: naive_trie.proven(root, proof, key) for key in asked} == expected
    return count


def batch(chance: Random, flat: dict[bytes, bytes], largest: int) -> dict[bytes, bytes | None]:
    """Return edits: new keys, changed values, deleted keys, deletions of what is not there."""
    changes: dict[bytes, bytes | None] = {}
    known = sorted(flat)
    for _ in range(chance.randrange(1, largest + 1)):
        is_known = bool(known) and chance.random() < 0.5
        key = chance.choice(known) if is_known else _key(chance)
        is_put = chance.random() < (0.5 if is_known else 0.9)
        changes[key] = chance.randbytes(chance.choice(LENGTHS)) if is_put else None
    return changes


def _key(chance: Random) -> bytes:
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(1, 40))
    return bytes(chance.choice(BYTES) for _ in range(chance.randrange(7)))
