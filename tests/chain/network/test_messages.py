"""What peers say: by the byte, there and back, and never more than a channel allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.common.block_data import MAX_BLOCKS, BlockData
from chain.network.messages import (
    BLOCK_ANNOUNCE,
    BLOCK_REQUEST,
    BLOCK_RESPONSE,
    ID_SIZE,
    LIMITS,
    MAX_IDS,
    MAX_TRANSACTIONS,
    STATUS,
    TRANSACTION_IDS,
    TRANSACTION_REQUEST,
    TRANSACTIONS,
    BlockAnnounce,
    BlockRequest,
    BlockResponse,
    Channel,
    FromHash,
    FromNumber,
    Status,
    TransactionIds,
    TransactionRequest,
    Transactions,
)
from chain.network.transport.link import MAX_QUEUE
from chain.network.transport.memory import MAX_MEMORY_PER_PEER
from chain.network.transport.queue import OVERHEAD
from runtime.primitives.header import Digest, Header, PreRuntime, Seal
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash

HASHES = st.binary(min_size=32, max_size=32).map(Hash)
NUMBERS = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
ENGINES = st.binary(min_size=4, max_size=4)
ITEMS = st.builds(PreRuntime, ENGINES, st.binary()) | st.builds(Seal, ENGINES, st.binary())
LOGS = st.lists(ITEMS, max_size=3)
HEADERS = st.builds(Header, HASHES, NUMBERS, HASHES, HASHES, st.builds(Digest, LOGS))
BODIES = st.lists(st.binary(max_size=40), max_size=4)
IDS = st.lists(st.binary(min_size=ID_SIZE, max_size=ID_SIZE), max_size=4)
BLOCKS = st.builds(BlockData, HEADERS, st.none() | BODIES, st.none() | st.binary(max_size=80))
MESSAGES = {
    STATUS: st.builds(Status, NUMBERS, st.integers(0, 255), HASHES, HASHES, NUMBERS, HASHES, NUMBERS),
    BLOCK_ANNOUNCE: st.builds(BlockAnnounce, HEADERS, st.booleans(), st.none() | BODIES),
    BLOCK_REQUEST: st.builds(
        BlockRequest,
        U64,
        st.builds(FromHash, HASHES) | st.builds(FromNumber, NUMBERS),
        st.booleans(),
        st.integers(0, 255),
        st.integers(0, 255),
    ),
    BLOCK_RESPONSE: st.builds(BlockResponse, U64, st.lists(BLOCKS, max_size=3)),
    TRANSACTIONS: st.builds(Transactions, BODIES),
    TRANSACTION_IDS: st.builds(TransactionIds, IDS),
    TRANSACTION_REQUEST: st.builds(TransactionRequest, IDS),
}
HEADER = Header(Hash(b"\x01" * 32), 5, Hash(b"\x02" * 32), Hash(b"\x03" * 32), Digest([]))


@given(st.data())
def test_every_message_is_read_as_it_was_written(data: st.DataObject) -> None:
    for codec, messages in MESSAGES.items():
        message = data.draw(messages)
        assert codec.decode(codec.encode(message)) == message


@given(st.data())
def test_a_message_that_ends_early_or_late_is_none(data: st.DataObject) -> None:
    for codec, messages in MESSAGES.items():
        encoded = codec.encode(data.draw(messages))
        cut = data.draw(st.integers(0, len(encoded) - 1))
        for wrong in (encoded[:cut], encoded + b"\x00"):
            with pytest.raises(DecodeError):
                codec.decode(wrong)


def test_messages_by_the_byte() -> None:
    """Another implementation must find the same bytes."""
    encoded = HEADER.encode().hex()
    assert BLOCK_REQUEST.encode(BlockRequest(7, FromHash(Hash(b"\xaa" * 32)), True, 128, 19)).hex() == (
        "0700000000000000" + "00" + "aa" * 32 + "01" + "80" + "13"
    )
    assert BLOCK_REQUEST.encode(BlockRequest(1, FromNumber(258), False, 1, 1)).hex() == (
        "0100000000000000" + "01" + "02010000" + "00" + "01" + "01"
    )
    assert BLOCK_ANNOUNCE.encode(BlockAnnounce(HEADER, True, None)).hex() == encoded + "01" + "00"
    assert BLOCK_RESPONSE.encode(BlockResponse(2, [BlockData(HEADER, [b"\xbb"], b"\xcc")])).hex() == (
        "0200000000000000" + "04" + encoded + "01" + "04" + "04bb" + "01" + "04cc"
    )
    assert TRANSACTIONS.encode(Transactions([b"\xdd\xee"])).hex() == "04" + "08ddee"
    ids = [b"\xab" * 16, b"\xcd" * 16]
    assert TRANSACTION_IDS.encode(TransactionIds(ids)).hex() == "08" + "ab" * 16 + "cd" * 16
    assert TRANSACTION_REQUEST.encode(TransactionRequest(ids[:1])).hex() == "04" + "ab" * 16
    status = Status(1, 4, Hash(b"\x0a" * 32), Hash(b"\x0b" * 32), 9, Hash(b"\x0c" * 32), 8)
    assert STATUS.encode(status).hex() == (
        "01000000" + "04" + "0a" * 32 + "0b" * 32 + "09000000" + "0c" * 32 + "08000000" + "00000000"
    )


def test_lists_are_bounded() -> None:
    blocks = [BlockData(HEADER, None, None)] * (MAX_BLOCKS + 1)
    BLOCK_RESPONSE.decode(BLOCK_RESPONSE.encode(BlockResponse(1, blocks[1:])))
    with pytest.raises(DecodeError):
        BLOCK_RESPONSE.decode((1).to_bytes(8, "little") + b"\x05\x02" + HEADER.encode() * 129 + bytes(258))
    with pytest.raises(DecodeError):
        TRANSACTIONS.decode(b"\x05\x04" + bytes(MAX_TRANSACTIONS + 1))
    for codec, most in ((TRANSACTION_IDS, MAX_IDS), (TRANSACTION_REQUEST, MAX_TRANSACTIONS)):
        codec.decode(((most << 2) + 1).to_bytes(2, "little") + bytes(ID_SIZE * most))
        with pytest.raises(DecodeError):
            codec.decode(((most + 1 << 2) + 1).to_bytes(2, "little") + bytes(ID_SIZE * (most + 1)))


def test_every_message_fits_a_queue_and_the_memory_of_a_peer() -> None:
    longest = max(limits.size for limits in LIMITS.values())
    assert longest + OVERHEAD <= MAX_QUEUE
    assert longest + MAX_QUEUE <= MAX_MEMORY_PER_PEER


def test_votes_go_before_blocks_and_blocks_before_transactions() -> None:
    priorities = [LIMITS[channel].priority for channel in Channel]
    assert priorities == sorted(priorities)
    assert [channel.value for channel in Channel] == list(range(len(Channel)))
