"""Juries: somebody doubts a judge's score, the chain draws this judge to measure it again.

    Verification.Challenges -> payloads, model and hidden text of the round -> measure -> vote_challenge

What is measured is what the doubted judge had to measure, by the same functions: the loss on the hidden
text of the round without and with the payload, and its alignment with those that pass its gate.
"""
# Reads top to bottom: sit_forever -> follow -> attend -> measured.

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chain.answers import account
from chain.client import Chain, Refused, Round
from miners.blobs.errors import BlobError
from miners.data import UnusableCorpus
from miners.history import History
from miners.joining import Workplace
from miners.parameters import OutOfRange, TrainingParameters
from miners.payload import shape_of
from miners.replica import Diverged, Replica
from miners.shards import ShardClient
from runtime.pallets.verification.outcomes import misses
from runtime.pallets.verification.types import Measurement
from runtime.primitives.commitments import Score
from validators.alignment import alignments
from validators.inspection import Candidate, inspect, screened
from validators.measuring import Texts, assigned_in, hidden_text, measure
from validators.recent import Recent
from validators.scorebook import counted, is_aligned
from validators.trail import Sitting, read

log = logging.getLogger("jury")

LOOK_SECONDS = 2.0
"""between two looks at what is doubted"""
AGAIN_SECONDS = 30.0
"""until this judge tries again what it could not measure"""
FETCH_SECONDS = 30.0
"""for all payloads of the round together"""


class Undecided(Exception):
    """This juror cannot measure what was doubted, and does not vote."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A score that this judge is to measure again."""

    round: int
    judge: int  # uid
    miner: bytes
    until_round: int  # voted before its end


@dataclass(frozen=True, slots=True)
class Juror:
    """Follows the challenges of a subnet beside the judge, one at a time."""

    chain: Chain
    netuid: int
    replica: Replica
    history: History
    shards: ShardClient
    recent: Recent
    device: str
    told: dict[Doubt, str] = field(default_factory=dict)
    again: dict[Doubt, float] = field(default_factory=dict)  # when to try again, in time.monotonic()

    async def follow(self) -> None:
        """Vote on what this judge is drawn for, for ever; what is due first comes first."""
        while True:
            doubts = await self.doubts()
            for known in (self.told, self.again):
                for over in set(known) - set(doubts):
                    del known[over]
            for doubt in doubts:
                if time.monotonic() >= self.again.get(doubt, 0.0):
                    await self.attend(doubt)
            await asyncio.sleep(LOOK_SECONDS)

    async def doubts(self) -> list[Doubt]:
        """Return the challenges that wait for this judge's vote."""
        head = await self.chain.finalized_head()
        if not await self.chain.query("Verification.OpenCount", self.netuid, at=head):
            return []
        waiting = await self.chain.query_map("Verification.Challenges", self.netuid, at=head)
        seat = await self.chain.seat(self.netuid, head)
        if seat is None:
            return []
        found = [
            Doubt(number, judge, account(miner), challenge["until_round"])
            for (number, judge, miner), challenge in waiting
            if seat in challenge["jurors"]
            and seat["uid"] not in [vote["juror"] for vote in challenge["votes"]]
        ]
        return sorted(found, key=lambda each: (each.until_round, each.round, each.judge, each.miner))

    async def attend(self, doubt: Doubt) -> None:
        """Measure and vote, as far as that is possible now; another look tries again."""
        try:
            entry = await self.measured(doubt)
        except (Undecided, BlobError, Diverged, UnusableCorpus, OutOfRange, OSError) as problem:
            self._say(doubt, f"not measured: {problem}")
            self.again[doubt] = time.monotonic() + AGAIN_SECONDS
            return
        try:
            await self.chain.submit(
                "Verification.vote_challenge", netuid=self.netuid, round=doubt.round, judge=doubt.judge,
                miner=self.chain.address_of(doubt.miner), loss_before=entry.loss_before,
                loss_after=entry.loss_after, alignment=entry.alignment,
            )  # fmt: skip
        except Refused as refused:  # the jury has decided, or an earlier life has voted
            self._say(doubt, f"no vote: {refused}")
            return
        self._say(doubt, f"voted: {entry.loss_before}, {entry.loss_after} micro-nats, {entry.alignment} ppm")

    async def measured(self, doubt: Doubt) -> Score:
        """Return what the doubted judge had to measure.

        Raises: Undecided; what stands in the way of this judge.
        """
        drawn = await self.chain.round(self.netuid, doubt.round)
        head = await self.chain.finalized_head()
        sitting = await read(self.chain, self.netuid, doubt.round, head)
        if drawn is None or sitting is None:
            raise Undecided("there is no such round")
        row = next((each.scores for each in sitting.published if each.judge == doubt.judge), None)
        if row is None:
            raise Undecided(f"judge {doubt.judge} has published nothing")
        base = await self.history.at(doubt.round, drawn.base_root)
        served, candidates = await self._checked(drawn, sitting)
        target = next((each for each in candidates if each.miner == doubt.miner), None)
        if target is None:
            raise Undecided("its payload is not served")
        await self.shards.follow(self.chain, self.netuid)
        manifest = await self.shards.manifest(drawn.data_root)
        updates = await self.chain.updates(self.netuid, doubt.round)
        text = await hidden_text(self.shards, drawn, manifest, assigned_in(drawn, manifest, updates))
        founded = await self.replica.founded(base, manifest.base)
        (found,) = await measure(drawn, founded, [target], Texts(text, {}), self.device, math.inf)
        clip, tolerance = TrainingParameters.of(drawn).norm_clip_ppm, sitting.numbers["tolerance_ppm"]
        return await asyncio.to_thread(aligned, found.entry(), target, row, served, clip, tolerance)

    async def _checked(self, drawn: Round, sitting: Sitting) -> tuple[list[Candidate], list[Candidate]]:
        """Return the payloads of a round under the uids of then; and those as every judge checks them."""
        assert drawn.beacon1 is not None, "scores were published"
        uids = {hotkey: uid for uid, hotkey in sitting.hotkeys.items()}
        listed = await self.chain.updates(self.netuid, drawn.number)
        updates = [replace(each, uid=uids.get(each.miner)) for each in listed]
        parameters = TrainingParameters.of(drawn)
        base = await self.history.at(drawn.number, drawn.base_root)
        found = await inspect(self.replica, drawn.number, updates, parameters, base, FETCH_SECONDS)
        earlier, shape = await self.recent.before(drawn.number), shape_of(parameters, drawn.base_root)
        number = drawn.number
        return found, await asyncio.to_thread(
            screened, number, found, earlier, shape, drawn.beacon1, parameters.beta_ppm
        )

    def _say(self, doubt: Doubt, what: str) -> None:
        """Log a line once."""
        if self.told.get(doubt) != what:
            self.told[doubt] = what
            log.info(
                "round %05d | judge %d on 0x%s… | jury: %s",
                doubt.round, doubt.judge, doubt.miner.hex()[:8], what,
            )  # fmt: skip


def aligned(
    entry: Score,
    target: Candidate,
    row: Sequence[Score],
    served: Sequence[Candidate],
    clip_ppm: int,
    tolerance_ppm: int,
) -> Score:
    """Return a measurement with its alignment: with those that pass the gate in the doubted judge's row.

    What is no payload passes nobody's gate, whatever the row says. Where one of them is not to be had, losses
    that are wrong are reason enough; the alignment is then the judge's own.

    Raises: Undecided when the losses are right.
    """
    if target.payload is None:
        return entry
    sent = {each.uid: each.payload for each in served}
    able = [one for one in row if one.uid not in sent or sent[one.uid] is not None]
    missing = [uid for uid in counted(able) if uid not in sent]
    if not is_aligned(able):
        return entry
    if missing:
        claimed = next(one for one in row if one.uid == target.uid)
        measured = (entry.loss_before, entry.loss_before - entry.loss_after, claimed.alignment)
        said = Measurement(claimed.loss_before, claimed.loss_after, claimed.alignment)
        if any(misses(said, measured, tolerance_ppm)):
            return replace(entry, alignment=claimed.alignment)
        raise Undecided(f"the payloads of uids {missing} are needed, and not to be had")
    chosen = {uid: payload for uid in {*counted(able), target.uid} if (payload := sent[uid]) is not None}
    return replace(entry, alignment=alignments(able, chosen, clip_ppm)[target.uid])


async def sit_forever(
    place: Workplace, netuid: int, history: History, shards: ShardClient, device: str
) -> None:
    """Serve on juries beside judging."""
    recent = Recent(place.chain, place.shelf, netuid)
    await Juror(place.chain, netuid, place.replica, history, shards, recent, device).follow()
