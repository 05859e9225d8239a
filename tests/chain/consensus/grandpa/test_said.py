"""What the own keys have voted survives everything but the loss of its file, and stays small."""

from pathlib import Path

import pytest

from chain.consensus.grandpa import said as said_module
from chain.consensus.grandpa.messages import Vote
from chain.consensus.grandpa.said import VOTES_FILE, Said
from chain.env_real import RealDisk
from runtime.primitives.grandpa import Precommit, Prevote, PrimaryPropose, SignedMessage
from runtime.primitives.types import Ed25519Public, Hash, Signature64

ALICE, BOB = Ed25519Public(b"a" * 32), Ed25519Public(b"b" * 32)
BLOCK = Hash(b"c" * 32)


def cast(kind: type, round_: int, set_id: int = 0, by: Ed25519Public = ALICE) -> Vote:
    """Return a vote; nobody here looks at its signature."""
    return Vote(round_, set_id, SignedMessage(kind(BLOCK, 1), Signature64(b"s" * 64), by))


def test_votes_come_back_by_set_without_proposals_and_once(tmp_path: Path) -> None:
    said = Said(RealDisk(tmp_path))
    votes = [cast(Prevote, 1), cast(Precommit, 1), cast(Prevote, 1, 1)]
    for vote in (*votes, votes[0], cast(PrimaryPropose, 2)):
        said.add(vote)
    for each in (said, Said(RealDisk(tmp_path))):
        assert each.votes(0) == votes[:2]
        assert each.votes(1) == votes[2:]


def test_the_last_votes_of_each_key_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(said_module, "KEPT", 2)
    said = Said(RealDisk(tmp_path))
    votes = [cast(Prevote, 1, by=BOB), *(cast(Prevote, round_) for round_ in range(1, 5))]
    for vote in votes:
        said.add(vote)
    assert said.votes(0) == [votes[0], *votes[3:]]


@pytest.mark.parametrize("damage", [b"", b"\0" * 32, b"\0" * 400])
def test_a_damaged_file_is_as_none(tmp_path: Path, damage: bytes) -> None:
    said = Said(RealDisk(tmp_path))
    said.add(cast(Prevote, 1))
    (tmp_path / VOTES_FILE).write_bytes(damage)
    anew = Said(RealDisk(tmp_path))
    assert anew.votes(0) == []
    anew.add(cast(Prevote, 2))
    assert Said(RealDisk(tmp_path)).votes(0) == [cast(Prevote, 2)]
