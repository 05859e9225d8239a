"""Broadcasts: everybody hears everything from its subscription on, and nobody holds up the publisher."""

import asyncio

import pytest

from chain.common.notifications import (
    Broadcast,
    FinalityNotification,
    ImportNotification,
    Notifications,
    SlowSubscriber,
)
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import ZERO_HASH, Hash

HEADER = Header(ZERO_HASH, 1, ZERO_HASH, ZERO_HASH, Digest([]))


async def collect(subscription):
    return [each async for each in subscription]


async def test_each_subscriber_hears_what_comes_after_it_subscribed():
    broadcast = Broadcast[int]()
    broadcast.publish(0)
    early = broadcast.subscribe()
    broadcast.publish(1)
    late = broadcast.subscribe()
    broadcast.publish(2)
    broadcast.close()
    assert (await collect(early), await collect(late)) == ([1, 2], [2])


async def test_a_waiting_subscriber_is_woken():
    broadcast = Broadcast[int]()
    waiting = asyncio.create_task(collect(broadcast.subscribe()))
    for number in range(3):
        await asyncio.sleep(0)
        broadcast.publish(number)
    broadcast.close()
    assert await asyncio.wait_for(waiting, 60) == [0, 1, 2]


async def test_a_slow_subscriber_is_cut_off_with_a_reason_and_others_go_on():
    broadcast = Broadcast[int](limit=3)
    slow, quick = broadcast.subscribe(), broadcast.subscribe()
    for number in range(4):
        broadcast.publish(number)
        assert await anext(quick) == number
    assert len(broadcast) == 1
    with pytest.raises(SlowSubscriber, match="more than 3 notifications behind"):
        await anext(slow)
    slow.close()


async def test_closing_stops_listening_and_may_be_repeated():
    broadcast = Broadcast[int]()
    subscription = broadcast.subscribe()
    subscription.close()
    subscription.close()
    broadcast.publish(1)
    assert await collect(subscription) == []
    assert len(broadcast) == 0


async def test_imports_and_finality_are_two_feeds():
    feed = Notifications()
    imports, finality = feed.imports(), feed.finality()
    block = Hash(bytes([1]) * 32)
    imported = ImportNotification(block, HEADER, True, (), (block,), frozenset({b"key"}))
    finalized = FinalityNotification(block, HEADER, (block,))
    feed.imported(imported)
    feed.finalized(finalized)
    feed.close()
    assert (await collect(imports), await collect(finality)) == ([imported], [finalized])
