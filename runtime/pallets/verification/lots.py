"""Who is audited and who judges: drawn by lot from randomness that nobody knew before."""

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.pallets.verification.types import Seat
from runtime.primitives.commitments import PPM
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.shapes import u8, u16, u32
from runtime.primitives.types import AccountId, Balance, Hash

WHOLE_BITS = 128
"""Of a hash, as a lot: far more than any stake in planck."""
MINER_TAG = b"asy/audit"
JUDGE_TAG = b"asy/judge"
JUDGE = codec(tuple[u16, u32, AccountId, u8])
JUROR = codec(tuple[u16, u32, u16, AccountId])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A permit holder with stake (planck) that may be drawn."""

    seat: Seat
    coldkey: AccountId
    stake: Balance


def is_drawn(beacon: Hash, miner: AccountId, rate_ppm: int) -> bool:
    """Say whether a miner's update is among the audited ones of a round."""
    return lot_of(beacon, miner) * PPM >> WHOLE_BITS < rate_ppm


def lot_of(beacon: Hash, miner: AccountId) -> int:
    """Return a miner's lot: who has a lower one comes first."""
    return _lot(MINER_TAG + beacon + miner)


def drawn_judge(
    seed: Hash, netuid: int, round: int, miner: AccountId, draw: int, candidates: Sequence[Candidate]
) -> Candidate | None:
    """Return who reports on an update, by stake; None where nobody is left."""
    return _drawn(JUDGE_TAG + seed + JUDGE.encode((netuid, round, miner, draw)), candidates)


def drawn_jury(
    seed: Hash,
    netuid: int,
    round: int,
    judge: int,
    miner: AccountId,
    candidates: Sequence[Candidate],
    most: int,
) -> list[Candidate]:
    """Return who measures a doubted score again, by stake, no two of one coldkey."""
    case, left, jury = JUROR.encode((netuid, round, judge, miner)), list(candidates), list[Candidate]()
    while len(jury) < most:
        juror = _drawn(JUDGE_TAG + seed + case + bytes([len(jury)]), left)
        if juror is None:
            break
        jury.append(juror)
        left = [each for each in left if each.coldkey != juror.coldkey]
    return jury


def _drawn(seed: bytes, candidates: Sequence[Candidate]) -> Candidate | None:
    at = _lot(seed) * sum(each.stake for each in candidates) >> WHOLE_BITS
    for each in candidates:
        if at < each.stake:
            return each
        at -= each.stake
    return None


def _lot(seed: bytes) -> int:
    return int.from_bytes(blake2_256(seed)[: WHOLE_BITS // 8], "little")
