"""Attacks on a node without blocks: false guides to the head, and keepers of another state.

Each liar asks an honest node what it was asked itself and passes the answer on with its own kind of lie in
it, so that nothing but the lie is wrong with what it says.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace

from chain.common.block_data import BlockData, WarpStep
from chain.common.state_data import StateRange
from chain.network.messages import (
    BLOCK_RESPONSE,
    STATE_RESPONSE,
    STATUS,
    WARP_RESPONSE,
    BlockResponse,
    Channel,
    StateResponse,
    Status,
    WarpResponse,
)
from runtime.primitives.header import Header
from runtime.primitives.types import BlockNumber, Hash
from tests.e2e.enemy import PATIENCE, Enemy, Intruder

AHEAD = 1_000
"""blocks that a false guide says are final beyond those that are"""
LATE = 7.0
"""seconds: just before nobody waits any more"""
QUESTIONS = (Channel.REQUESTS, Channel.STATE_REQUESTS, Channel.WARP_REQUESTS)
ANSWERS = {
    Channel.ANSWERS: BLOCK_RESPONSE,
    Channel.STATE_ANSWERS: STATE_RESPONSE,
    Channel.WARP_ANSWERS: WARP_RESPONSE,
}


async def false_guides(enemy: Enemy) -> None:
    """Be there before anybody honest is, and lie about who votes, which blocks there are and the state."""
    await _guide(enemy, FALSE)


async def slow_guides(enemy: Enemy) -> None:
    """Be there before anybody honest is, and say nothing, or the truth when it is almost too late."""
    await _guide(enemy, SLOW)


async def _guide(enemy: Enemy, kinds_: Iterable[str]) -> None:
    truth, kinds = enemy.beside(enemy.honest), itertools.cycle(kinds_)

    async def one(number: int) -> None:
        kind = next(kinds)
        liar = _Liar(enemy, kind)
        async with truth.enter(liar.told) as liar.source, asyncio.timeout(PATIENCE):
            status = await liar.status
        async with (
            truth.enter(liar.told) as liar.source,
            enemy.enter(liar.asked, status=status) as liar.victim,
        ):
            await liar.victim.stay(enemy.until)

    await enemy.again(one)


class _Liar:
    """Stands between the attacked node and an honest one."""

    def __init__(self, enemy: Enemy, kind: str) -> None:
        self.source: Intruder
        self.victim: Intruder
        self.status: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._enemy = enemy
        self._kind = kind

    def asked(self, intruder: Intruder, channel: int, message: bytes) -> None:
        """Ask the honest node the same."""
        if channel in QUESTIONS:
            self._enemy.counts[f"asked {Channel(channel).name}"] += 1
            if self._kind != "silence":
                self.source.send(channel, message)

    def told(self, intruder: Intruder, channel: int, message: bytes) -> None:
        """Pass an answer on, with a lie in it; claim more than the honest node does."""
        if channel == Channel.STATUS and not self.status.done():
            self.status.set_result(self._claim(STATUS.decode(message)))
        elif channel in ANSWERS:
            codec = ANSWERS[Channel(channel)]
            answer = codec.encode(LIES[self._kind](self._enemy, codec.decode(message)))
            loop = asyncio.get_running_loop()
            loop.call_later(LATE if self._kind == "late" else 0.0, self._tell, channel, answer)

    def _tell(self, channel: int, answer: bytes) -> None:
        if not self.victim.is_cut:
            self.victim.send(channel, answer)

    def _claim(self, status: Status) -> Status:
        """Be ahead; but those who lie about the state have to be believed as far as that."""
        if self._kind not in (*SLOW, "hollow"):
            return status
        best = BlockNumber(status.best_number + AHEAD)
        return replace(status, best_number=best, final_number=best)


Answer = BlockResponse | StateResponse | WarpResponse


def _as_it_is(enemy: Enemy, answer: Answer) -> Answer:
    return answer


def _hollow(enemy: Enemy, answer: Answer) -> Answer:
    """Have nothing."""
    match answer:
        case StateResponse():
            return replace(answer, found=StateRange([], [], is_complete=True))
        case WarpResponse():
            return replace(answer, steps=[], is_finished=True)
    return replace(answer, blocks=[])


def _other_values(enemy: Enemy, answer: Answer) -> Answer:
    """Change a value, a vote, a state's root."""
    match answer:
        case StateResponse(found=found):
            (key, value), *rest = found.entries or [(b"", b"")]
            return replace(answer, found=replace(found, entries=[(key, value + b"\x00"), *rest]))
        case WarpResponse(steps=steps):
            return replace(answer, steps=[*steps[:-1], *(_unproven(step) for step in steps[-1:])])
    return replace(answer, blocks=[_rooted(enemy, each) for each in answer.blocks])


def _left_out(enemy: Enemy, answer: Answer) -> Answer:
    """Leave something out of the middle."""
    match answer:
        case StateResponse(found=found):
            at = len(found.entries) // 2
            return replace(answer, found=replace(found, entries=found.entries[:at] + found.entries[at + 1 :]))
        case WarpResponse(steps=steps):
            return replace(answer, steps=steps[1:])
    return replace(answer, blocks=answer.blocks[:1] + answer.blocks[2:])


def _cut_short(enemy: Enemy, answer: Answer) -> Answer:
    """Give half, and say that this is all."""
    match answer:
        case StateResponse(found=found):
            half = found.entries[: len(found.entries) // 2]
            return replace(answer, found=replace(found, entries=half, is_complete=True))
        case WarpResponse(steps=steps):
            return replace(answer, steps=steps[: len(steps) // 2], is_finished=True)
    return replace(answer, blocks=answer.blocks[: len(answer.blocks) // 2])


def _rubbish(enemy: Enemy, answer: Answer) -> Answer:
    """Give as much as an answer may have, none of it true."""
    some = enemy.rng.randbytes
    match answer:
        case StateResponse():
            entries = sorted((some(32), some(60)) for _ in range(10_000))
            return replace(
                answer, found=StateRange(entries, [some(500) for _ in range(500)], is_complete=False)
            )
        case WarpResponse(steps=steps):
            return replace(answer, steps=[WarpStep(step.header, some(100_000)) for step in steps])
    return replace(answer, blocks=[_rooted(enemy, each) for each in answer.blocks])


def _unproven(step: WarpStep) -> WarpStep:
    votes = bytearray(step.justification)
    votes[-1] ^= 1
    return replace(step, justification=bytes(votes))


def _rooted(enemy: Enemy, block: BlockData) -> BlockData:
    header: Header = replace(block.header, state_root=Hash(enemy.rng.randbytes(32)))
    return replace(block, header=header)


LIES: dict[str, Callable[[Enemy, Answer], Answer]] = {
    "other values": _other_values,
    "silence": _as_it_is,  # which is never asked for
    "left out": _left_out,
    "cut short": _cut_short,
    "rubbish": _rubbish,
    "hollow": _hollow,
    "late": _as_it_is,
}
SLOW = ("silence", "late")
FALSE = tuple(kind for kind in LIES if kind not in SLOW)
