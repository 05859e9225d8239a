"""What strangers cost this node in all, and how long each of them has to wait."""

import asyncio
from heapq import heapify, heappop, heappush

import pytest

from chain.network.messages import Channel
from chain.network.transport.work import AT_ONCE, LONGEST_PAUSE, SHARE, Work
from tests.chain.network.hands import Hands
from tests.chain.network.transport.ends import ends

SECONDS = 10.0


def crowd(costs: list[float]) -> list[float]:
    """Have strangers send as fast as they are read, each frame at its cost; return what each has taken."""
    hands, taken = Hands(), [0.0] * len(costs)
    work = Work(hands.monotonic)
    work.strangers = len(costs)
    due = [(0.0, number) for number in range(len(costs))]
    heapify(due)
    while hands.seconds < SECONDS:
        at, number = heappop(due)
        hands.seconds = max(hands.seconds, at) + costs[number]  # one after the other
        taken[number] += costs[number]
        heappush(due, (hands.seconds + work.pause(costs[number]), number))
    return taken


@pytest.mark.parametrize("costs", [[0.002], [0.001, 0.01] * 4, [0.001] * 60 + [0.01] * 4])
def test_a_crowd_takes_its_share_of_the_time_and_nobody_much_more_than_others(costs: list[float]) -> None:
    taken = crowd(costs)
    assert SHARE * SECONDS * 0.9 < sum(taken) < AT_ONCE + SHARE * SECONDS + 2 * sum(costs)
    assert max(taken) < AT_ONCE + 2 * SHARE * SECONDS / len(costs)


def test_who_asks_for_little_waits_little_and_for_nothing_while_others_do_not_ask() -> None:
    hands = Hands()
    work = Work(hands.monotonic)
    work.strangers = 64
    assert work.pause(AT_ONCE) == 0
    assert work.pause(0.0001) == 0.0001 * 64 / SHARE
    assert work.pause(1.0) == LONGEST_PAUSE
    hands.seconds += 2 * AT_ONCE / SHARE + 1.0 / SHARE
    assert work.pause(0.1) == 0


async def test_a_stranger_is_read_no_faster_than_its_work_allows_and_loses_nothing() -> None:
    hands = Hands()
    work = Work(hands.monotonic)
    async with ends(starts=1, now=hands.monotonic, work=work) as (one, other):
        heard: list[bytes] = []

        def handle(channel: int, message: bytes) -> None:
            """Take a while: of the first clock, by which work is measured."""
            heard.append(message)
            hands.seconds += 0.2
            other.heard.put_nowait((channel, message))

        other.start(handle)
        for number in range(5):
            one.link.send(Channel.VOTES, bytes([number]))
            assert await other.next() == (Channel.VOTES, bytes([number]))
        assert other.wire._is_held
        assert heard == [bytes([number]) for number in range(5)]
        assert work.strangers == 1
        other.link.trust()
        assert work.strangers == 0
        one.link.send(Channel.VOTES, b"a friend's")
        assert await other.next() == (Channel.VOTES, b"a friend's")
        assert not other.wire._is_held
    assert work.strangers == 0


async def test_who_comes_anew_while_too_much_was_taken_is_not_read_at_once() -> None:
    hands = Hands()
    for taken, is_held in ((0.0, False), (2 * AT_ONCE, True)):
        work = Work(hands.monotonic)
        work.pause(taken)
        async with ends(starts=1, now=hands.monotonic, work=work) as (_, other):
            other.start()
            await asyncio.sleep(0)
            assert other.wire._is_held == is_held
