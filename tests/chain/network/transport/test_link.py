import asyncio
import os

import pytest

from chain.common.faults import Fault, PeerFault
from chain.env_real import RealRng
from chain.keys.pair import Keypair
from chain.network.messages import Channel
from chain.network.peers import BANNED
from chain.network.transport import link as link_module
from chain.network.transport.frames import CONTROL, HEAD, MIN_PIECE, SIZES
from chain.network.transport.handshake import Greeting, Identity
from chain.network.transport.link import MESSAGE_COST, RECEIVE_RATE, LinkClosed, LinkConfig, greet
from chain.network.transport.memory import Memory
from chain.network.transport.wire import MAX_UNSENT
from tests.chain.network.transport.ends import GENESIS, End, ends, wires

LARGE = os.urandom(4 << 20)


def sealed(end: End, content: bytes) -> None:
    """Send a frame of whatever content, as no honest peer does."""
    end.wire.write(end.link._sends.encrypt(content))


async def fill(end: End, channel: Channel) -> None:
    """Send until there is no room left, neither here nor in the kernel."""
    while end.link.send(channel, bytes(1 << 16)):  # noqa: ASYNC110 - the socket takes some
        await asyncio.sleep(0)


async def test_messages_of_every_size_arrive_whole_and_in_order() -> None:
    sizes = (0, 1, 1_000, 65_511, 65_512, 65_513, 65_535, 131_072, 6 << 20)
    async with ends() as (one, other):
        for size in sizes:
            assert one.link.send(Channel.ANSWERS, bytes([size % 251]) * size)
            assert await other.next() == (Channel.ANSWERS, bytes([size % 251]) * size)
        for size in sizes[:-1]:
            assert other.link.send(Channel.ANSWERS, bytes(size))
        assert [len((await one.next())[1]) for _ in sizes[:-1]] == list(sizes[:-1])
        assert one.memory.held == other.memory.held == 0


async def test_a_vote_does_not_wait_behind_an_answer() -> None:
    async with ends(starts=1) as (one, other):
        assert one.link.send(Channel.ANSWERS, LARGE)
        await asyncio.sleep(0)  # the answer is on its way
        assert one.link.figures().queued > 2 << 20
        assert one.link.send(Channel.VOTES, b"a vote")
        other.start()
        assert await other.next() == (Channel.VOTES, b"a vote")
        assert await other.next() == (Channel.ANSWERS, LARGE)


async def test_little_waits_where_it_cannot_be_overtaken() -> None:
    async with ends(starts=1) as (one, other):
        await fill(one, Channel.ANSWERS)
        assert one.wire._transport.get_write_buffer_size() <= MAX_UNSENT + (64 << 10)
        assert one.link.figures().queued <= LinkConfig().max_queue
        assert other.memory.held == 0


async def test_what_matters_least_gives_way_and_a_peer_that_takes_no_votes_is_left() -> None:
    async with ends(LinkConfig(max_queue=1 << 20), starts=1) as (one, _):
        await fill(one, Channel.TRANSACTIONS)
        assert one.link.figures().shed == 0
        assert one.link.send(Channel.ANSWERS, bytes(1 << 18))
        assert one.link.figures().shed > 0
        while one.link.send(Channel.VOTES, bytes(1 << 10)):
            pass
        assert str(await one.end()) == "it takes no more messages, not even votes"
        assert one.memory.held == 0


async def test_keys_are_renewed_at_both_ends() -> None:
    async with ends(LinkConfig(rekey_every=3)) as (one, other):
        first = one.link._sends._aead
        for number in range(10):
            assert one.link.send(Channel.VOTES, bytes([number]))
            assert await other.next() == (Channel.VOTES, bytes([number]))
            assert other.link.send(Channel.VOTES, bytes([number]))
            assert await one.next() == (Channel.VOTES, bytes([number]))
        assert one.link._sends.nonce > 10
        assert one.link._sends._aead is not first


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "an empty frame"),
        (b"\1", "1 bytes too many"),
        (HEAD.pack(1, 0, 9) + b"eight...", "a piece ends 1 bytes after its frame"),
        (HEAD.pack(1, 0, SIZES[1] + 1) + bytes(SIZES[1] + 1), "a message of 1025 bytes on channel 1"),
        (HEAD.pack(5, 1 << 31, 2_000) + bytes(2_000), "on channel 5, which takes 6291456"),
        (HEAD.pack(5, 9_000, MIN_PIECE - 1) + bytes(MIN_PIECE - 1), "which is not the last one"),
        (HEAD.pack(CONTROL, 0, 3) + bytes(3), "a question of 3 bytes"),
        ((HEAD.pack(5, 9, 1_024) + bytes(1_024)) * 2, "a message on channel 5 changes its length"),
        (HEAD.pack(1, 0, 0) * 1_025, "7 bytes too many in a frame"),
    ],
)
async def test_what_no_honest_peer_sends_is_its_fault(content: bytes, why: str) -> None:
    async with ends() as (one, other):
        sealed(one, content)
        ended = await other.end()
        assert why in str(ended)
        assert isinstance(ended, PeerFault)
        assert other.memory.held == 0


async def test_a_frame_that_somebody_changed_ends_the_connection_and_blames_nobody() -> None:
    async with ends() as (one, other):
        one.wire.write(bytes(64))
        ended = await other.end()
        assert str(ended) == "a message does not open with the key of this connection"
        assert type(ended) is LinkClosed
        assert str(await one.end()) in ("the other side hung up", "the connection broke: [Errno 104] "
                                        "Connection reset by peer")  # fmt: skip


async def test_a_claim_of_much_takes_no_memory_before_it_comes() -> None:
    async with ends() as (one, other):
        sealed(one, HEAD.pack(5, 6_000_000, 2_000) + bytes(2_000) + HEAD.pack(1, 0, 4) + b"mark")
        assert await other.next() == (1, b"mark")
        assert other.memory.held == 2_000


async def test_a_peer_that_leaves_messages_unfinished_has_to_go() -> None:
    memory = Memory(most_per_peer=100_000)
    async with ends(memory=memory) as (one, other):
        for channel in (5, 6, 10):
            sealed(one, HEAD.pack(channel, 1 << 20, 50_000) + bytes(50_000))
        assert str(await other.end()) == "it holds 146 KiB of this node's memory"
        assert memory.held == 0


async def test_what_a_frame_brings_after_the_end_is_nobody_s_memory() -> None:
    """Else the account of all peers never comes down again, and in the end everybody has to leave."""
    memory = Memory(most_per_peer=100_000)
    async with ends(memory=memory) as (one, other):
        for channel in (5, 6):
            sealed(one, HEAD.pack(channel, 1 << 20, 49_000) + bytes(49_000))
        sealed(one, b"".join(HEAD.pack(each, 200_000, 9_000) + bytes(9_000) for each in (2, 3, 10, 12)))
        assert str(await other.end()) == "it holds 104 KiB of this node's memory"
        assert memory.held == 0


async def test_whoever_sends_more_than_its_share_is_read_more_slowly() -> None:
    config = LinkConfig(receive_rate=1 << 20, receive_burst=1 << 20)
    async with ends(config) as (one, other):
        loop, began, count = asyncio.get_running_loop(), 0.0, 24
        began = loop.time()
        for _ in range(count):
            assert one.link.send(Channel.ANSWERS, bytes(64 << 10))
        for _ in range(count):
            await other.next()
        assert loop.time() - began > (count * (64 << 10) - (1 << 20)) / (1 << 20) * 0.8


async def test_small_messages_take_of_the_share_too() -> None:
    config = LinkConfig(receive_rate=1 << 20, receive_burst=1 << 20)
    async with ends(config) as (one, other):
        began = asyncio.get_running_loop().time()
        for _ in range(400):
            assert one.link.send(Channel.VOTES, b"")
        for _ in range(400):
            await other.next()
        assert one.link.send(Channel.VOTES, b"one more")
        await other.next()
        assert asyncio.get_running_loop().time() - began > 0.4


async def test_a_peer_that_does_not_answer_is_gone() -> None:
    async with ends(LinkConfig(keep_alive=0.02), starts=1) as (one, _):
        assert str(await one.end()) == "it has not answered for 0 s"


async def test_the_way_there_and_back_is_measured() -> None:
    async with ends(LinkConfig(keep_alive=0.02)) as (one, _):
        async with asyncio.timeout(60):
            while one.link._answered < 4:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        round_trip = one.link.figures().round_trip
        assert round_trip is not None
        assert 0 < round_trip < 60
        assert one.task is not None
        assert not one.task.done()


async def test_an_answer_to_no_question_is_nothing() -> None:
    async with ends() as (one, other):
        sealed(one, HEAD.pack(CONTROL, 0, 9) + link_module._QUESTION.pack(True, 1 << 60))
        sealed(one, HEAD.pack(1, 0, 4) + b"mark")
        assert await other.next() == (1, b"mark")
        assert other.link._answered <= other.link._asked


async def test_nothing_is_handed_on_after_a_connection_was_dropped() -> None:
    async with ends(starts=1) as (one, other):
        heard: list[bytes] = []

        def first(_: int, message: bytes) -> None:
            heard.append(message)
            other.link.close("enough")

        for number in range(100):
            assert one.link.send(Channel.ANSWERS, bytes([number]) * 2_000)
        other.start(first)
        assert str(await other.end()) == "enough"
        assert heard == [bytes(2_000)]
        assert not other.link.send(Channel.VOTES, b"too late")


async def test_what_breaks_the_receiver_comes_out_where_it_runs() -> None:
    class Broken(Exception):
        pass

    def breaks(_: int, __: bytes) -> None:
        raise Broken

    async with ends(starts=1) as (one, other):
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        task = asyncio.ensure_future(other.link.run(breaks))
        assert one.link.send(Channel.VOTES, b"a vote")
        with pytest.raises(Broken):
            await task


@pytest.mark.parametrize("waste", [Fault.TOO_MANY, Fault.UNKNOWN_CHANNEL])
def test_whoever_only_wastes_time_is_banned_in_seconds(waste: Fault) -> None:
    """At the pace of what a link takes, a message to a frame, no fault is so cheap that time heals it."""
    per_second = RECEIVE_RATE / (2 * MESSAGE_COST)
    assert 12 * per_second * waste.cost > BANNED


def greeting(*, initiator: bool, genesis: bytes = GENESIS) -> Greeting:
    identity = Identity.of(Keypair.from_suri("//Greets", "ed25519"), RealRng())
    return Greeting(identity, genesis, RealRng(), initiator=initiator)


async def test_another_genesis_fails_at_the_second_message_and_says_nothing_of_the_dialler() -> None:
    async with wires() as (dialled, accepted):
        answers = asyncio.ensure_future(greet(accepted, greeting(initiator=False)))
        theirs = greeting(initiator=True, genesis=bytes(32))
        with pytest.raises(LinkClosed, match="handshake failed, as with a node of another chain"):
            await greet(dialled, theirs)
        dialled.abort()
        with pytest.raises(LinkClosed, match="hung up"):
            await answers
        assert not theirs.is_done


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (bytes(31), "a handshake message ends 1 bytes early"),
        (bytes(513), "a message of 513 bytes; at most 512 are allowed"),
        (bytes(5_000), "a block of 5000 bytes, before it was clear who sends it"),
        (bytes(32), "low order"),
    ],
)
async def test_a_stranger_says_little(said: bytes, why: str) -> None:
    async with wires() as (dialled, accepted):
        dialled.write(said)
        with pytest.raises(LinkClosed, match=why):
            await greet(accepted, greeting(initiator=False))


@pytest.mark.parametrize("said", [b"", b"\0", b"\0\x20" + bytes(31)])
async def test_a_stranger_has_seconds(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "HANDSHAKE_SECONDS", 0.05)
    async with wires() as (dialled, accepted):
        dialled._transport.write(said)
        with pytest.raises(LinkClosed, match="no handshake within 0 s"):
            await greet(accepted, greeting(initiator=False))


async def test_half_a_connection_is_none() -> None:
    async with ends() as (one, other):
        one.wire._transport.write_eof()
        assert str(await other.end()) == "the other side hung up"
