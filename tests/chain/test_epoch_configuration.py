"""What the chain announces for its epochs, and what its authors and importers make of it."""

from pathlib import Path

from runtime.frame.pallet import constant_key
from runtime.frame.testing import MemoryState
from runtime.primitives.babe import V1, AllowedSlots, Primary, pre_digest_of
from runtime.primitives.scale import codec
from runtime.primitives.types import Hash
from runtime.runtime import AssayRuntime
from tests.chain.chains import FIRST_SLOT, Chain

EPOCH = 20
"""slots"""


def kinds(chain: Chain, blocks: list[Hash]) -> set[type]:
    """Return which kinds of slots blocks were authored in."""
    headers = [chain.store.header(block) for block in blocks]
    return {type(pre_digest_of(header)) for header in headers if header is not None}


def test_slots_have_primary_authors_from_the_epoch_after_the_announcement(tmp_path: Path) -> None:
    babe = AssayRuntime.reading(MemoryState()).babe
    planned = V1((1, 2), AllowedSlots.PrimaryAndSecondaryVRFSlots)
    chain = Chain(
        tmp_path / "chain",
        also={
            constant_key("Babe", "EpochDuration"): EPOCH.to_bytes(8, "little"),
            babe.pending_epoch_config_change.key: b"\x01" + codec(V1).encode(planned),
        },
    )
    blocks = [chain.grow(FIRST_SLOT + number) for number in range(1, 3 * EPOCH + 1)]
    epochs = [blocks[start : start + EPOCH] for start in range(0, 3 * EPOCH, EPOCH)]
    assert Primary not in kinds(chain, epochs[0])
    assert Primary not in kinds(chain, epochs[1]), "announced in its first block, for the next"
    assert Primary in kinds(chain, epochs[2])
    assert chain.executor.epoch(chain.store.state_at(blocks[-1]), len(blocks), FIRST_SLOT + 61).c == (1, 2)
    chain.store.close()


def test_a_block_after_skipped_epochs_is_authored_by_what_was_announced_for_the_first(tmp_path: Path) -> None:
    chain = Chain(
        tmp_path / "chain", also={constant_key("Babe", "EpochDuration"): EPOCH.to_bytes(8, "little")}
    )
    chain.grow(FIRST_SLOT + 1)
    announced = AssayRuntime.reading(chain.store.state_at(chain.store.best)).babe.next_epoch()
    head = chain.grow(FIRST_SLOT + 1 + 7 * EPOCH)
    entered = AssayRuntime.reading(chain.store.state_at(head)).babe.current_epoch()
    assert (entered.epoch_index, entered.randomness, entered.authorities) == (
        7,
        announced.randomness,
        announced.authorities,
    )
    chain.store.close()
