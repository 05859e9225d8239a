"""The send queue of one connection, without a connection."""

import asyncio

import pytest

from chain.rpc.outbox import Outbox


class Peer:
    """A client that reads as much as it is allowed to."""

    def __init__(self):
        self.arrived, self.cut, self.may_read = asyncio.Queue(), 0, asyncio.Semaphore(0)

    async def send(self, text):
        await self.may_read.acquire()
        self.arrived.put_nowait(text)

    async def read(self, count):
        async with asyncio.timeout(60):
            return [await self.arrived.get() for _ in range(count)]

    def abort(self):
        self.cut += 1


async def test_messages_leave_in_order():
    peer = Peer()
    outbox = Outbox(peer.abort)
    for i in range(5):
        outbox.notify(f"n{i}")
        await outbox.reply(f"r{i}")
        peer.may_read.release()
        peer.may_read.release()
    sender = asyncio.create_task(outbox.drain(peer.send))
    assert await peer.read(10) == [f"{kind}{i}" for i in range(5) for kind in "nr"]
    assert peer.cut == 0
    sender.cancel()


@pytest.mark.parametrize(("limits", "sent"), [((4, 1000), ["x"] * 5), ((100, 10), ["12345", "123456"])])
async def test_a_notification_over_the_limit_cuts_the_client_off_once(limits, sent):
    peer = Peer()
    outbox = Outbox(peer.abort, *limits)
    for text in sent[:-1]:
        outbox.notify(text)
    assert (outbox.closed, peer.cut) == (False, 0)
    outbox.notify(sent[-1])
    outbox.notify("ignored")
    assert (outbox.closed, peer.cut) == (True, 1)
    await asyncio.wait_for(outbox.drain(peer.send), 60)
    assert peer.arrived.empty()


async def test_a_reply_waits_for_the_client_instead_of_cutting_it_off():
    peer = Peer()
    outbox = Outbox(peer.abort, max_messages=4)
    sender = asyncio.create_task(outbox.drain(peer.send))
    replies = asyncio.create_task(_reply(outbox, 20))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not replies.done()
    for _ in range(20):
        peer.may_read.release()
    await asyncio.wait_for(replies, 60)
    assert await peer.read(20) == [str(i) for i in range(20)]
    assert peer.cut == 0
    sender.cancel()


async def _reply(outbox, count):
    for i in range(count):
        await outbox.reply(str(i))


async def test_a_client_that_never_reads_replies_is_cut_off(monkeypatch):
    monkeypatch.setattr("chain.rpc.outbox.REPLY_TIMEOUT", 0.01)
    peer = Peer()
    outbox = Outbox(peer.abort, max_messages=4)
    await asyncio.wait_for(_reply(outbox, 20), 60)
    assert (outbox.closed, peer.cut) == (True, 1)


async def test_a_client_that_is_gone_ends_the_sending():
    async def send(text):
        raise ConnectionResetError

    cut = []
    outbox = Outbox(lambda: cut.append(1))
    outbox.notify("x")
    await asyncio.wait_for(outbox.drain(send), 60)
    assert (outbox.closed, cut) == (True, [1])
