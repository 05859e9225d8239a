"""What a miner keeps for its audits: as long as one can come, and no longer."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from miners.blobs.errors import StoreFull
from miners.blobs.store import Quota
from miners.memories import MEMORY_ROUNDS, Memories, empty_digest, last_revealed, needed, tidy
from runtime.primitives.hashing import blake2_256

MINER = b"\x01" * 32


@dataclass
class Ledger:
    """What a miner asks of a chain before it deletes."""

    revealed_in: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    window: int = 3
    address: str = "me"

    async def parameters(self, netuid: int) -> dict[str, int]:
        return {"audit_window": self.window}

    async def has_revealed(self, netuid: int, number: int) -> bool:
        return number in self.revealed_in

    async def revealed(self, netuid: int, number: int, miner: bytes) -> tuple[bytes, int] | None:
        return (bytes([number]) * 32, 1) if number in self.revealed_in else None

    async def query(self, item: str, *keys: Any) -> Any:
        assert (item, keys[0], keys[2]) == ("Verification.Audits", 1, "me")
        return {} if keys[1] in self.open else None


@pytest.mark.parametrize(
    ("revealed", "oldest", "open_", "expected"),
    [
        ([1, 2, 3, 4, 5], 4, [], {3, 4, 5}),  # what is audited, and what it builds on
        ([1, 2, 5], 4, [], {2, 4, 5}),  # rounds 3 and 4 were lost
        ([1, 2, 3, 4, 5], 5, [2], {1, 2, 4, 5}),  # an audit that goes on and on
        ([1, 2], 9, [], {2}),  # nothing for long: the next round builds on the last update
        ([], 9, [], set()),
    ],
)
def test_what_an_audit_may_ask_for_is_kept(
    revealed: list[int], oldest: int, open_: list[int], expected: set[int]
) -> None:
    assert needed(range(1, 6), revealed, oldest, open_) == expected


async def test_it_is_there_after_a_crash_and_gone_when_nobody_can_ask(tmp_path: Path) -> None:
    ledger, memories = Ledger(set(range(1, 9)), {1}), Memories(tmp_path)
    digests = {number: memories.keep(number, bytes([number]) * 100) for number in range(1, 9)}
    memories = Memories(tmp_path)
    await tidy(memories, ledger, 1, 9)  # type: ignore[arg-type]
    assert memories.rounds == [1, 3, 4, 5, 6, 7, 8]
    assert [number for number, digest in digests.items() if memories.find(digest)] == memories.rounds
    ledger.open.clear()
    await tidy(memories, ledger, 1, 10)  # type: ignore[arg-type]
    assert memories.rounds == Memories(tmp_path).rounds == [4, 5, 6, 7, 8]
    assert memories.find(digests[1]) is None


def test_it_counts_against_the_quota_and_gives_back(tmp_path: Path) -> None:
    quota = Quota(250)
    memories = Memories(tmp_path, quota)
    memories.keep(1, bytes(100))
    memories.keep(2, b"\x01" * 100)
    with pytest.raises(StoreFull):
        memories.keep(3, b"\x02" * 100)
    memories.forget_except([2])
    assert quota.used == 100
    assert memories.find(memories.keep(3, b"\x02" * 100)) is not None


async def test_the_update_before_is_the_last_revealed_unless_it_is_long_ago() -> None:
    ledger = Ledger({1, 2, 5})
    found = [await last_revealed(ledger, 1, MINER, number) for number in (1, 2, 3, 5, 6, 6 + MEMORY_ROUNDS)]  # type: ignore[arg-type]
    assert found == [
        None, (1, b"\x01" * 32), (2, b"\x02" * 32), (2, b"\x02" * 32), (5, b"\x05" * 32), None,
    ]  # fmt: skip
    assert (await last_revealed(ledger, 1, MINER, 5 + MEMORY_ROUNDS)) == (5, b"\x05" * 32)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 262_144, 700_001])
def test_everybody_knows_the_digest_of_nothing(count: int) -> None:
    assert empty_digest(count) == blake2_256(bytes(4 * count))


def test_the_same_bytes_in_two_rounds_are_kept_twice(tmp_path: Path) -> None:
    memories = Memories(tmp_path)
    digest = memories.keep(1, b"a lost round leaves it as it was")
    assert memories.keep(2, b"a lost round leaves it as it was") == digest
    memories.forget_except([2])
    path = memories.find(digest)
    assert path is not None
    assert blake2_256(path.read_bytes()) == digest
