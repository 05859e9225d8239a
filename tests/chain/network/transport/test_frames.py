import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.common.faults import PeerFault
from chain.network.messages import LIMITS, Channel
from chain.network.transport.frames import (
    CONTROL,
    HEAD,
    MAX_CONTENT,
    MAX_FRAME,
    MAX_PIECES,
    PRIORITIES,
    SIZES,
    Assembler,
)
from chain.network.transport.noise import TAG_SIZE
from chain.network.transport.queue import OVERHEAD, SendQueue

CHANNELS = st.sampled_from([*Channel, CONTROL, 77])
MESSAGES = st.lists(
    CHANNELS.flatmap(
        lambda channel: st.tuples(st.just(int(channel)), st.integers(0, min(SIZES[channel], 200_000)))
    ),
    max_size=12,
)


class Held:
    """How many bytes somebody says to hold."""

    def __init__(self) -> None:
        self.size = 0

    def change(self, by: int) -> None:
        """Note a change."""
        self.size += by
        assert self.size >= 0


@given(MESSAGES, st.data())
def test_what_goes_in_comes_out_in_order_within_a_priority(
    messages: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Frames are taken out at any moment; every message is one of a kind."""
    held, kept = Held(), Held()
    queue, assembler = SendQueue(64 << 20, held.change), Assembler(kept.change)
    sent: list[tuple[int, bytes]] = []
    got: list[tuple[int, bytes]] = []

    def deliver() -> int:
        frame = queue.frame()
        assert len(frame) <= MAX_CONTENT
        if frame:
            got.extend(assembler.messages(frame))
        return len(frame)

    for number, (channel, size) in enumerate(messages):
        message = bytes([number]) * size
        sent.append((channel, message))
        assert queue.put(channel, message)
        for _ in range(data.draw(st.integers(0, 2))):
            deliver()
    while deliver():
        pass
    assert held.size == kept.size == queue.size == 0
    for priority in set(PRIORITIES):
        assert [each for each in got if PRIORITIES[each[0]] == priority] == [
            each for each in sent if PRIORITIES[each[0]] == priority
        ]


def test_a_frame_is_a_noise_message() -> None:
    assert MAX_FRAME == 65_535
    assert MAX_CONTENT + TAG_SIZE == MAX_FRAME
    queue = SendQueue(64 << 20, Held().change)
    assert queue.put(Channel.ANSWERS, bytes(1 << 20))
    assert len(queue.frame()) == MAX_CONTENT


def test_small_messages_share_a_frame_but_not_more_than_a_receiver_takes() -> None:
    held = Held()
    queue, assembler = SendQueue(64 << 20, held.change), Assembler(Held().change)
    for _ in range(MAX_PIECES + 1):
        assert queue.put(Channel.VOTES, b"")
    assert held.size == (MAX_PIECES + 1) * OVERHEAD
    assert [len(list(assembler.messages(queue.frame()))) for _ in range(2)] == [MAX_PIECES, 1]


def test_every_channel_has_its_limit_and_none_is_above_votes_but_the_links_own() -> None:
    assert {channel: SIZES[channel] for channel in Channel} == {each: LIMITS[each].size for each in Channel}
    assert PRIORITIES[CONTROL] < PRIORITIES[Channel.VOTES] < PRIORITIES[Channel.ANSWERS] < PRIORITIES[77]


@pytest.mark.parametrize("channel", [*Channel, CONTROL, 77])
def test_a_message_may_be_as_long_as_its_channel_takes_and_no_longer(channel: int) -> None:
    size = SIZES[channel]
    for whole in (size, size + 1):
        piece = min(whole, 60_000)
        content = HEAD.pack(channel, whole - piece, piece) + bytes(piece)
        held = Held()
        assembler = Assembler(held.change)
        if whole > size:
            with pytest.raises(PeerFault, match=f"a message of {whole} bytes on channel {channel}"):
                list(assembler.messages(content))
            assert held.size == 0
        else:
            assert [len(each) for _, each in assembler.messages(content)] == (
                [whole] if piece == whole else []
            )
            assert held.size == (0 if piece == whole else piece)


def test_pieces_of_other_channels_may_come_between() -> None:
    assembler = Assembler(Held().change)
    first = HEAD.pack(Channel.ANSWERS, 3, 2_000) + b"a" * 2_000
    between = HEAD.pack(Channel.VOTES, 0, 4) + b"vote"
    rest = HEAD.pack(Channel.ANSWERS, 0, 3) + b"bcd"
    assert list(assembler.messages(first + between)) == [(Channel.VOTES, b"vote")]
    assert list(assembler.messages(rest)) == [(Channel.ANSWERS, b"a" * 2_000 + b"bcd")]
