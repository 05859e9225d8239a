"""Tells people what becomes of a worker's rounds: follows the chain, and joins it with the worker's diary.

A round has its line once it is over on the chain and the worker is through with it. Lines go to the log, with
--json as objects to standard output, with --track to a tracker; numbers to the metrics page.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from chain.client import ENDED, Chain, Head
from chain.verdicts import Outcome, outcomes
from miners.commands.worker import Worker
from miners.diary import Diary, Page
from miners.reports import Ended, Purse, Report, gone, of_event, of_judge, of_miner
from miners.tracking import Run, tracking

log = logging.getLogger("round")

MINER = "miner"
MOST_BLOCKS = 64
"""whose events are read after a pause; what was before is on the chain for who wants to know"""
LATE_BLOCKS = 10
"""after its round a worker may still be busy with it; then its line is told without the rest"""
KEY_LETTERS = 8
"""of an address, in the name of a tracker's run"""

Outlet = Callable[[Report], Awaitable[None]]
"""takes what is told"""
Values = Mapping[str, Any]
"""of an event"""


@asynccontextmanager
async def reporting(
    role: str, config: Worker, chain: Chain, diary: Diary
) -> AsyncIterator[Coroutine[Any, Any, None]]:
    """Open what reports go to, and yield the program that makes them."""
    outlets: list[Outlet] = [print_json] if config.json else []
    name = re.sub(r"\W+", "-", (await chain.name()).lower())
    about = {"chain": name, "netuid": config.netuid, "role": role, "hotkey": chain.address}
    run = Run(f"{name}-{config.netuid}", f"{role}-{chain.address[:KEY_LETTERS]}", about)
    async with tracking(config.track, run) as tracker:
        if tracker is not None:
            outlets.append(tracker)
        reporter = Reporter(chain, config.netuid, role, diary, *outlets)
        yield reporter.follow(await chain.slot_seconds())


async def print_json(report: Report) -> None:
    """Write a report to standard output, for programs."""
    print(report.to_json(), flush=True)


class Reporter:
    """Follows one hotkey in one subnet."""

    def __init__(self, chain: Chain, netuid: int, role: str, diary: Diary, *outlets: Outlet) -> None:
        self._chain = chain
        self._netuid = netuid
        self._role = role
        self._diary = diary
        self._outlets = outlets
        self._looked: int | None = None  # the last block whose events were read
        self._uid: int | None = None
        self._purse = Purse()
        self._void: dict[int, str] = {}  # why rounds were void
        self._over: dict[int, int] = {}  # rounds that are over and have no line yet, and since which block
        self._loss: float | None = None  # held-out loss of the newest model that a line was about

    async def follow(self, pause: float) -> None:
        """Look at what is final, again after so many seconds, for ever."""
        while True:
            await self.look(await self._chain.finalized_head())
            await asyncio.sleep(pause)

    async def look(self, head: Head) -> None:
        """Tell what is new up to a block."""
        if self._looked is None or head.number - self._looked > MOST_BLOCKS:
            await self._begin(head)
        looked = self._looked or 0
        for number in range(looked + 1, head.number + 1):
            block = head if number == head.number else await self._chain.block_at(number)
            if block is not None:
                await self._read(block)
            self._looked = number
        for round, since in tuple(self._over.items()):
            page = self._diary.pages.get(round)
            if page is None:  # this worker had no part in it
                del self._over[round]
            elif page.is_done or head.number - since > LATE_BLOCKS:
                del self._over[round]
                await self._close(round, self._diary.pages.pop(round), head)

    async def _begin(self, head: Head) -> None:
        """See how things stand in a block, where there is nothing to go on from."""
        self._looked, self._uid = head.number, await self._chain.uid(self._netuid)
        epoch = await self._chain.query("Incentive.LastEpoch", self._netuid, at=head)
        earned = await self._chain.query("Incentive.Emission", self._netuid, self._uid or 0, at=head)
        if self._uid is not None and epoch and earned:
            self._purse = Purse(earned, epoch)
        current = await self._chain.round(self._netuid, at=head)
        if current is not None:
            self._diary.metrics.round_seen(current.number, current.phase)
            over = current.number + (current.phase in ENDED)
            self._over |= {number: head.number for number in self._diary.pages if number < over}

    async def _read(self, block: Head) -> None:
        """Take what concerns this worker from the events of a block."""
        for name, values in await self._chain.events(block):
            if not isinstance(values, dict) or values.get("netuid") != self._netuid:
                continue
            self._diary.gone = gone(name, values, self._chain.address, self._diary.gone)
            if name.startswith("Training."):
                self._follow_round(name, values, block.number)
            elif name == "Incentive.EmissionPaid" and values["hotkey"] == self._chain.address:
                self._note_payment(values, block.number)
            elif (report := of_event(name, values, self._chain.address, self._uid)) is not None:
                await self._tell_verdict(report)

    def _follow_round(self, name: str, values: Values, block: int) -> None:
        metrics = self._diary.metrics
        match name.partition(".")[2]:
            case "RoundOpened":
                metrics.round_seen(values["round"], "Train")
            case "PhaseChanged":
                metrics.round_seen(values["round"], values["phase"])
            case "RoundClosed":
                self._over[values["round"]] = block
                metrics.round_seen(values["round"], "Closed")
            case "RoundVoided":
                self._over[values["round"]] = block
                self._void[values["round"]] = str(values["reason"])
                metrics.round_seen(values["round"], "Void")

    def _note_payment(self, values: Values, block: int) -> None:
        for role, planck in (("miner", values["incentive"]), ("validator", values["dividend"])):
            if planck:
                self._diary.metrics.paid(role, planck)
        self._purse = replace(self._purse, planck=values["incentive"] + values["dividend"], block=block)

    async def _tell_verdict(self, report: Report) -> None:
        self._diary.metrics.heard(report.event)
        self._diary.metrics.burnt(report.burnt)
        await self._tell(report)

    async def _close(self, number: int, page: Page, head: Head) -> None:
        """Tell how a round went."""
        self._uid = await self._chain.uid(self._netuid)
        ended = await self._ended(number)
        if self._role == MINER:
            self._purse = replace(self._purse, withheld=await self._withheld(head))
            await self._tell(self._of_miner(page, ended))
        else:
            await self._tell(of_judge(page, ended, self._purse, self._loss))
            self._loss = page.held_out_loss or self._loss

    async def _ended(self, number: int) -> Ended:
        found = await self._chain.rpc("training_round", self._netuid, number)
        state = found["state"]
        revealed = {judge["uid"] for judge in found["judges"] if judge["scores"] is not None}
        due = {*state["expectedJudges"], *(judge["uid"] for judge in found["judges"])}
        self._diary.metrics.scores_revealed(len(revealed), len(due))
        return Ended(
            number, state["phase"], self._void.pop(number, ""), len(state["accepted"]),
            state["newRoot"] or state["baseRoot"], outcomes(found),
        )  # fmt: skip

    def _of_miner(self, page: Page, ended: Ended) -> Report:
        own = next((each for each in ended.outcomes if each.miner == self._chain.address), None)
        if own is not None and not ended.is_void:
            self._note_outcome(own)
        self._diary.metrics.standing_seen(bool(self._purse.withheld))
        return of_miner(page, ended, own, self._purse)

    def _note_outcome(self, own: Outcome) -> None:
        metrics = self._diary.metrics
        metrics.placed(own.ppm, own.rank)
        metrics.update_ended("accepted" if own.ppm else "rejected")
        if not own.ppm and own.causes:
            metrics.rejected(own.causes[0][0])  # what most judges say

    async def _withheld(self, head: Head) -> int:
        """Return the round whose failed audit keeps this miner's pay back; 0 for none."""
        if self._uid is None:
            return 0
        found = await self._chain.query("Verification.Standings", self._netuid, self._uid, at=head)
        return int(found["withheld"]) if found else 0

    async def _tell(self, report: Report) -> None:
        log.log(report.level, "%s", report.line)
        for outlet in self._outlets:
            await outlet(report)
