"""The way up from a trusted point to the newest final block, without executing anything between.

    warp   proofs of who votes: only the blocks at which voters changed
    fast   every header upwards, and among them the votes that make some of them final

Both climb by `verify_step`, peer after peer, and end where no peer leads further. Whoever leads astray, ends
below what it says is final, or says nothing, is blamed, and another one is asked.
"""

import asyncio
import enum
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Protocol

from chain.common.block_data import MAX_BLOCKS, MAX_JUSTIFICATION, PROOFS, WarpStep
from chain.common.errors import SyncRefused
from chain.common.faults import Fault
from chain.env import Clock
from chain.sync.peers import Asked
from chain.sync.warp import ForcedError, TrustedPoint, WarpError, verify_step
from runtime.primitives.grandpa import changes_voters
from runtime.primitives.header import Header
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, struct
from runtime.primitives.types import BlockNumber, Hash

log = logging.getLogger("sync")

MAX_ASKED = 8
"""peers that are asked before what they agree on is taken as the head"""
ENOUGH = 3
"""peers after which nobody else is waited for"""
GATHERING = 5.0
"""seconds in which more peers may come"""
LOOK_EVERY = 0.5
"""seconds between two looks for peers"""
TOLD_EVERY = 5.0
"""seconds between two lines about the progress"""
MAX_UNPROVEN, MAX_UNPROVEN_BYTES = 1 << 16, 64 << 20
"""headers above the last one that is proven final; whoever sends them may invent large ones"""
FEW_STEPS, FEW_BYTES = 16, 64 << 10
"""below both of which a part is too small to ask the same peer for the next"""
MAX_BROKEN = 3
"""promises of a peer in a row that came to nothing, after which it is not waited for"""
MAX_NAMES = 4096
"""peers of whom that is remembered"""
AGAIN = 2.0
"""seconds until peers that led nowhere are asked again"""


class Peers(Asked, Protocol):
    """Who can be asked, and how."""

    async def proof(self, peer: str, begin: Hash) -> tuple[list[WarpStep], bool] | None:
        """Return what a peer proves beyond a block and whether that is all; None where no answer comes."""


class Record(Protocol):
    """Where it is written how far it has come."""

    def standing(self) -> bytes | None: ...
    def steps(self) -> list[WarpStep]: ...
    def begin(self, floor: BlockNumber, standing: bytes) -> None: ...
    def save(self, standing: bytes, steps: Iterable[WarpStep], headers: Sequence[Header] = ()) -> None: ...
    def clear(self) -> None: ...


class Led(enum.Enum):
    """Where a peer has led."""

    ON = "on"  # and it has more
    UP = "up"  # as far as it is final there
    ASTRAY = "astray"  # or nowhere: others may be able to


@struct("assay_sync::Standing")
class Standing:
    """How far it has come: from where, to which final block; the votes for that are None where it began."""

    origin: Hash
    point: TrustedPoint
    header: Header
    justification: Annotated[bytes, Bounded(MAX_JUSTIFICATION)] | None


STANDING = codec(Standing)


class Ascent:
    """Where the climb stands; what is verified is saved before more is asked for."""

    def __init__(
        self, record: Record, peers: Peers, clock: Clock, origin: Standing, mode: Literal["fast", "warp"]
    ) -> None:
        """Begin, or go on where an earlier run from the same origin has stopped."""
        self._record = record
        self._peers = peers
        self._clock = clock
        self._mode = mode
        self._told = float("-inf")
        self._broken = Counter[str]()  # by peer, how often it led nowhere since it led anywhere
        self.standing = _found(record, origin.origin) or origin
        steps = record.steps()
        self.sets = len(steps)
        self._handover = steps[-1].header.hash() if steps else None  # the last one
        if self.standing is origin:
            record.begin(origin.point.number, STANDING.encode(origin))

    @property
    def point(self) -> TrustedPoint:
        """The highest block that is proven final, and who votes above it."""
        return self.standing.point

    @property
    def _set_began(self) -> Hash:
        """The block after which the voters of now vote: who proves beyond the point has it, gap or not."""
        return self._handover or self.standing.origin

    @property
    def target(self) -> WarpStep | None:
        """That block with the votes for it; None at the origin."""
        proof = self.standing.justification
        return None if proof is None else WarpStep(self.standing.header, proof)

    # Climbing.

    async def climb(self) -> None:
        """Ask the peers in turn, the quick ones more often, until all have been asked at one height.

        Raises: SyncRefused.
        """
        follow = self._follow_proof if self._mode == "warp" else self._follow_headers
        asked, turns, pace = dict[str, Led](), Counter[str](), dict[str, int]()
        since, cleared = self._clock.monotonic(), self.point.number
        while True:
            finals = self._peers.finals()
            new = [peer for peer in finals if peer not in asked]
            is_up = Led.UP in asked.values()
            if new and len(asked) < MAX_ASKED:
                peer = min(new, key=lambda each: (pace.get(each, 0), turns[each], -finals[each]))
                turns[peer] += 1
                began, reached = self._clock.monotonic(), self.point.number
                led = await follow(peer)
                pace[peer] = _pace(self._clock.monotonic() - began, self.point.number - reached)
                if led is not Led.ON:
                    asked[peer] = led
                self._judge(peer, led)
                if (
                    asked and self.point.number - cleared > MAX_BLOCKS
                ):  # the others may know more from here on
                    asked, cleared = {peer: led} if led is not Led.ON else {}, self.point.number
            elif is_up and self._is_enough(len(asked), since):
                return
            else:
                await self._clock.sleep(AGAIN if asked and not is_up else LOOK_EVERY)
                asked = asked if is_up else {}
            self._tell()

    def _judge(self, peer: str, led: Led) -> None:
        """Remember where a peer has led."""
        if led is Led.ASTRAY:
            if len(self._broken) >= MAX_NAMES:
                self._broken.clear()
            self._broken[peer] += 1
        else:
            self._peers.thank(peer)
            self._broken.pop(peer, None)

    def is_promised(self) -> bool:
        """Say whether anybody who may be right says that more is final."""
        claims = self._peers.claims().items()
        return any(final > self.point.number and self._broken[peer] < MAX_BROKEN for peer, final in claims)

    def _is_enough(self, asked: int, since: float) -> bool:
        return asked >= ENOUGH or self._clock.monotonic() - since >= GATHERING

    async def _follow_proof(self, peer: str) -> Led:
        """Take what a peer proves."""
        begin, claim = self.point.number, self._peers.finals().get(peer, 0)
        answer = await self._peers.proof(peer, self._set_began)
        if answer is None:
            return Led.ASTRAY
        steps, is_finished = answer
        if len(steps) == 1 and steps[0].header.number <= begin:
            steps = []  # the newest of who is no further
        if not await self._take_all(peer, steps):
            return Led.ASTRAY
        reached = self.point.number
        if is_finished and reached < claim:
            self._peers.blame(peer, Fault.FALSE_CLAIM, f"proof up to #{reached} instead of #{claim}")
            return Led.ASTRAY
        if is_finished:
            return Led.UP
        if reached == begin and claim > begin:
            self._peers.blame(peer, Fault.USELESS, f"no proof beyond #{begin}")
        size = sum(len(step.justification) for step in steps)
        return Led.ASTRAY if len(steps) < FEW_STEPS and size < FEW_BYTES else Led.ON

    async def _take_all(self, peer: str, steps: Sequence[WarpStep]) -> bool:
        """Go up by the steps of an answer as far as they are right; say whether all are."""
        taken: list[WarpStep] = []
        try:
            for step in steps:
                if taken and not changes_voters(taken[-1].header):
                    raise WarpError(f"#{taken[-1].header.number} changes no voters and is not the last step")
                self._take(step)
                taken.append(step)
                await asyncio.sleep(0)  # a step of many voters takes its time
        except WarpError as problem:
            self._peers.blame(peer, Fault.BAD_JUSTIFICATION, str(problem))
        self._save(taken)
        return len(taken) == len(steps)

    async def _follow_headers(self, peer: str) -> Led:
        """Take the headers of one answer after the other until some of them are proven final."""
        tip, above, begin, size = self.standing.header, list[Header](), self.point.number, 0
        while len(above) < MAX_UNPROVEN and size < MAX_UNPROVEN_BYTES:
            blocks = await self._peers.blocks(peer, tip.number + 1, MAX_BLOCKS, PROOFS)
            if not blocks:
                owes = blocks is not None and self._peers.has_from(peer, tip.number + 1)
                return self._ends(peer) if owes else Led.ASTRAY
            last = max((place for place, each in enumerate(blocks) if each.justification), default=-1)
            for place, each in enumerate(blocks):
                if each.header.parent_hash != tip.hash() or each.header.number != tip.number + 1:
                    fault = Fault.WRONG_BLOCKS if place else Fault.USELESS  # another chain, or no chain
                    self._peers.blame(peer, fault, f"#{each.header.number} on #{tip.number}")
                    return Led.ASTRAY
                tip = each.header
                above.append(tip)
                size += len(tip.encode())
                if not changes_voters(tip) and place != last:
                    continue
                if each.justification is None:
                    return self._ends(peer)  # the change is not final there yet
                step = WarpStep(tip, each.justification)
                try:
                    self._take(step)
                except WarpError as problem:
                    self._peers.blame(peer, Fault.BAD_JUSTIFICATION, str(problem))
                    return Led.ASTRAY
                self._save([step], above)
                above, size = [], 0
                await asyncio.sleep(0)
            if len(blocks) < FEW_STEPS and tip.number < self._peers.finals().get(peer, 0):
                self._peers.blame(peer, Fault.USELESS, f"{len(blocks)} headers")
                return Led.ASTRAY
            if self.point.number > begin:
                return Led.ON
        self._peers.blame(peer, Fault.USELESS, f"nothing proven final above #{self.point.number}")
        return Led.ASTRAY

    def _ends(self, peer: str) -> Led:
        """Say where a peer has led that has no more; it owes what it says is final."""
        claim = self._peers.finals().get(peer, 0)
        if self.point.number < claim:
            self._peers.blame(
                peer, Fault.FALSE_CLAIM, f"proof up to #{self.point.number} instead of #{claim}"
            )
            return Led.ASTRAY
        return Led.UP

    def _take(self, step: WarpStep) -> None:
        """Go up by a step.

        Raises: WarpError; SyncRefused where no step leads on, whoever is asked.
        """
        try:
            point = verify_step(self.point, step)
        except ForcedError as problem:
            raise SyncRefused(
                f"{problem}: give --checkpoint as `assay checkpoint` prints it on a node you trust, or "
                "--sync full"
            ) from problem
        self.standing = Standing(self.standing.origin, point, step.header, step.justification)

    def _save(self, steps: Sequence[WarpStep], headers: Sequence[Header] = ()) -> None:
        """Write what is new; only changes of voters are kept for ever."""
        if steps:
            changes = [step for step in steps if changes_voters(step.header)]
            self.sets += len(changes)
            self._handover = changes[-1].header.hash() if changes else self._handover
            self._record.save(STANDING.encode(self.standing), changes, headers)

    def _tell(self) -> None:
        now = self._clock.monotonic()
        if now - self._told >= TOLD_EVERY:
            self._told = now
            title, number = self._mode.title(), f"{self.point.number:,}"
            log.info("⏩ %s sync: %d sets proven, #%s", title, self.sets, number)


def _found(record: Record, origin: Hash) -> Standing | None:
    """Return where an ascent from an origin stands, if one was begun."""
    written = record.standing()
    if written is None:
        return None
    standing: Standing = STANDING.decode(written)
    return standing if standing.origin == origin else None


def _pace(seconds: float, blocks: int) -> int:
    """Return how long a peer takes to lead up by a block, as a power of two in ms: alike ones are equal."""
    return round(1000 * seconds / max(1, blocks)).bit_length()
