"""Making the proof that a block is final, from a commit and the headers this node has."""

from typing import Protocol

from runtime.primitives.grandpa import Commit, GrandpaJustification
from runtime.primitives.header import Header
from runtime.primitives.types import Hash


class Headers(Protocol):
    """The headers of a chain."""

    def header(self, block: Hash) -> Header | None:
        """Return a block's header."""


def justify(round_: int, commit: Commit, headers: Headers) -> GrandpaJustification:
    """Return a commit with the headers from its lowest vote, left out, up to every other."""
    votes = [signed.precommit for signed in commit.precommits]
    seen = {min(votes, key=lambda vote: vote.target_number).target_hash}
    ancestry: list[Header] = []
    for vote in votes:
        block = vote.target_hash
        while block not in seen:
            header = headers.header(block)
            assert header is not None, "a commit was counted on blocks that are stored"
            ancestry.append(header)
            seen.add(block)
            block = header.parent_hash
    return GrandpaJustification(round_, commit, ancestry)
