"""Fork choice against a model that knows every block and recounts all chains each time."""

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from chain.service.ledger import Ledger
from runtime.primitives.babe import Primary, SecondaryVRF, VrfSignature, pre_digest_item
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import Hash
from tests.chain.chains import FIRST_SLOT, Chain
from tests.sim.database import Tables

SIGNATURE = VrfSignature(bytes(32), bytes(64))


@dataclass
class Model:
    """All blocks there ever were, and which of them must be the best."""

    final: Hash
    best: Hash
    parents: dict[Hash, Hash] = field(default_factory=dict)
    primaries: set[Hash] = field(default_factory=set)

    def chain(self, block: Hash) -> list[Hash]:
        """Return the blocks from genesis, which is left out, up to this one."""
        found = []
        while block in self.parents:
            found.append(block)
            block = self.parents[block]
        return found[::-1]

    def weight(self, block: Hash) -> tuple[int, int]:
        """Return the primary blocks of a chain, and its length."""
        chain = self.chain(block)
        return len(self.primaries & set(chain)), len(chain)

    def above(self, block: Hash) -> list[Hash]:
        """Return a block and all that descends from it."""
        if block not in self.parents:
            return [block, *self.parents]
        return [each for each in self.parents if block in self.chain(each)]

    def preferred(self, block: Hash) -> Hash:
        """Return the heaviest chain's head at or above a block, of equals the one with the lowest hash."""
        candidates = self.above(block)
        heaviest = max(map(self.weight, candidates))
        return min(each for each in candidates if self.weight(each) == heaviest)

    def add(self, block: Hash, parent: Hash, *, primary: bool) -> None:
        """Note an imported block."""
        self.parents[block] = parent
        if primary:
            self.primaries.add(block)
        if self.weight(block) > self.weight(self.best):
            self.best = block

    def finalize(self, block: Hash) -> None:
        """Note a final block: what does not descend from it is out."""
        self.final = block
        if self.best not in self.above(block):
            self.best = self.preferred(block)

    def revert(self, count: int) -> None:
        """Note that the best chain was taken back, and every fork that is higher."""
        chain = [self.final, *self.chain(self.best)[len(self.chain(self.final)) :]]
        kept = chain[: max(1, len(chain) - count)]
        height = len(self.chain(kept[-1]))
        for block in [each for each in self.parents if len(self.chain(each)) > height]:
            self.primaries.discard(block)
        self.parents = {each: up for each, up in self.parents.items() if len(self.chain(each)) <= height}
        self.best = kept[-1]
        other = self.preferred(self.final)
        if self.weight(other) > self.weight(self.best):
            self.best = other


def import_block(chain: Chain, parent: Hash, salt: int, *, primary: bool) -> Hash:
    """Import an empty block by its number of forks, its kind and nothing else."""
    above = chain.store.header(parent)
    assert above is not None
    kind = Primary if primary else SecondaryVRF
    digest = Digest([pre_digest_item(kind(0, FIRST_SLOT + salt, SIGNATURE))])
    unique = Hash(salt.to_bytes(32, "big"))
    header = Header(parent, above.number + 1, above.state_root, unique, digest)
    return chain.importer.import_own(header, [], {})


def reopened(chain: Chain, tables: Tables) -> Chain:
    """Return the chain after a restart; its blocks change nothing, so that none has to be executed."""
    chain.store.close()
    again = Chain(tables)
    for block in again.store.unapplied():
        again.store.restore_layer(block, {})
    return again


def check_heads(chain: Chain, model: Model) -> None:
    """Check which head a voter gets who must build on a block."""
    ledger = Ledger(chain.store, chain.importer, lambda blocks, proof: None)
    for block in model.above(model.final):
        head = model.best if model.best in model.above(block) else model.preferred(block)
        assert ledger.best_containing(block) == (head, model.weight(head)[1])


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_best_block_is_the_models_whatever_happens(seed: int) -> None:
    rng, tables = random.Random(seed), Tables()
    chain = Chain(tables)
    model = Model(chain.store.genesis_hash, chain.store.genesis_hash)
    share = rng.choice([0, 0.25, 1])
    for salt in range(40):
        living = model.above(model.final)
        step = rng.random()
        if step < 0.85:
            parent, primary = rng.choice(living[-6:]), rng.random() < share
            model.add(import_block(chain, parent, salt, primary=primary), parent, primary=primary)
        elif step < 0.93:
            block = rng.choice(living[:4])
            chain.store.finalize(block, None)
            model.finalize(block)
        elif step < 0.98:
            chain = reopened(chain, tables)
        else:
            count = rng.randrange(4)
            chain.store.revert(count)
            model.revert(count)
        assert chain.store.best == model.best
        assert [chain.store.hash_at(number + 1) for number in range(chain.store.best_number)] == model.chain(
            model.best
        )
        if salt % 8 == 0:
            check_heads(chain, model)
    chain.store.close()


def test_a_shorter_chain_with_more_primary_slots_wins() -> None:
    chain = Chain(Tables())
    root = chain.store.genesis_hash
    first = import_block(chain, root, 1, primary=False)
    second = import_block(chain, first, 2, primary=False)
    assert chain.store.best == second
    primary = import_block(chain, root, 3, primary=True)
    assert (chain.store.best, chain.store.best_number) == (primary, 1)
    assert [chain.store.hash_at(number) for number in range(3)] == [root, primary, None]
    third = import_block(chain, second, 4, primary=False)
    assert chain.store.best == primary, "height does not outweigh a primary slot"
    assert import_block(chain, third, 5, primary=True) == chain.store.best, "of equals the higher one"
    chain.store.close()
