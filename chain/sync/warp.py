"""Who votes on a chain, proven from a point that is trusted: the chain of votes that warp sync follows.

    trusted point -> the next block that changed voters, final by their votes -> the next -> ... -> the head

A proof leaves out everything between: each step is a header and the votes that make it final, and a header
that changes voters names the next ones. Nothing is skipped unseen, since votes carry the number of their set.
Source: paritytech/polkadot-sdk substrate/client/consensus/grandpa/src/warp_proof.rs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chain.common.block_data import WarpStep
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import (
    CONSENSUS_LOG,
    ForcedChange,
    JustificationError,
    ScheduledChange,
    decode_justification,
    verify_justification,
)
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Header
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import struct, u64
from runtime.primitives.types import BlockNumber, Hash


class WarpError(Exception):
    """A step proves nothing; says why."""


class ForcedError(WarpError):
    """A final block names voters across whom nothing can be proven, whoever says so."""


@struct("assay_sync::TrustedPoint")
class TrustedPoint:
    """A final block, and who votes above it."""

    block: Hash
    number: BlockNumber
    set_id: u64
    authorities: Authorities

    def encode(self) -> bytes:
        """Return the SCALE bytes."""
        return TRUSTED_POINT.encode(self)


TRUSTED_POINT = codec(TrustedPoint)


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof amounts to: the point it leads to, and its last step, if it has any."""

    point: TrustedPoint
    last: WarpStep | None


def verify_steps(point: TrustedPoint, steps: Iterable[WarpStep]) -> Proven:
    """Follow a whole proof; who must not stop for long goes step by step.

    Raises: WarpError.
    """
    last = None
    for step in steps:
        if last is not None and next_voters(last.header) is None:
            raise WarpError(f"#{last.header.number} changes no voters and is not the last step")
        point, last = verify_step(point, step), step
    return Proven(point, last)


def verify_step(point: TrustedPoint, step: WarpStep) -> TrustedPoint:
    """Return the point that a step leads to.

    Raises: WarpError; ForcedError where a block that is proven final forces other voters.
    """
    header = step.header
    if header.number <= point.number:
        raise WarpError(f"#{header.number} does not lie above #{point.number}")
    block = header.hash()
    try:
        justification = decode_justification(step.justification)
        verify_justification(justification, point.authorities, point.set_id, (block, header.number))
    except JustificationError as problem:
        raise WarpError(f"#{header.number} is not proven final by set {point.set_id}: {problem}") from problem
    voters = next_voters(header)
    if voters is None:
        return TrustedPoint(block, header.number, point.set_id, point.authorities)
    return TrustedPoint(block, header.number, point.set_id + 1, voters)


def next_voters(header: Header) -> Authorities | None:
    """Return who votes after a block, where that changes with it.

    Raises: WarpError of a change that no proof can lead across.
    """
    found: Authorities | None = None
    for log in header.digest.logs:
        if not isinstance(log, Consensus) or log._0 != GRANDPA_ENGINE:
            continue
        match _decoded(log._1, header.number):
            case ScheduledChange(change):
                if found is not None or change.delay or not _can_vote(change.next_authorities):
                    raise WarpError(f"#{header.number} does not hand over to one set of voters at once")
                found = change.next_authorities
            case ForcedChange():
                raise ForcedError(
                    f"#{header.number} forces a change of voters, which proves nothing: "
                    "a checkpoint above it is needed"
                )
    return found


def voters_after(header: Header) -> Authorities | None:
    """Return whom a block that is trusted names as voters, in whatever way; None where it names nobody.

    Raises: WarpError.
    """
    for log in header.digest.logs:
        if isinstance(log, Consensus) and log._0 == GRANDPA_ENGINE:
            match _decoded(log._1, header.number):
                case ScheduledChange(change) | ForcedChange(_, change):
                    return change.next_authorities
    return None


def _decoded(log: bytes, number: int) -> object:
    try:
        return CONSENSUS_LOG.decode(log)
    except DecodeError as problem:
        raise WarpError(f"#{number} says what no runtime writes: {problem}") from problem


def _can_vote(authorities: Sequence[tuple[bytes, int]]) -> bool:
    """Say whether a list is a set of voters: somebody, everybody once, nobody without weight."""
    keys = {key for key, _ in authorities}
    return bool(authorities) and len(keys) == len(authorities) and all(weight for _, weight in authorities)
