"""Attacks through the protocol: votes, blocks, transactions and questions that only look like honest ones."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from chain.common.block_data import BLOCKS, MAX_BLOCKS, PROOFS, BlockData
from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    CompactCommit,
    Neighbor,
    NeighborPacket,
    SignedPrevote,
    Vote,
)
from chain.keys.pair import Keypair
from chain.network.messages import (
    BLOCK_ANNOUNCE,
    BLOCK_REQUEST,
    BLOCK_RESPONSE,
    PEER_EXCHANGE,
    STATE_REQUEST,
    TRANSACTION_IDS,
    TRANSACTION_REQUEST,
    TRANSACTIONS,
    WARP_REQUEST,
    BlockAnnounce,
    BlockRequest,
    BlockResponse,
    Channel,
    FromNumber,
    PeerExchange,
    StateRequest,
    TransactionIds,
    TransactionRequest,
    Transactions,
    WarpRequest,
)
from runtime.primitives.grandpa import (
    MAX_PRECOMMITS,
    Precommit,
    Prevote,
    SignedMessage,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header
from runtime.primitives.trie import ordered_root
from runtime.primitives.types import BlockNumber, Hash
from runtime.runtime import AssayRuntime
from tests.e2e.enemy import Enemy, Intruder, new_key
from tests.e2e.field import sign

VOTERS = [Keypair.from_suri(f"//{name}", "ed25519") for name in ("Alice", "Bob", "Charlie", "Dave")]
PAUSE = 0.02
"""seconds between two handfuls"""
HANDFUL = 50
CLAIMED = 1_000_000
"""blocks that a liar says it has beyond anybody else"""


# Votes.


async def votes(enemy: Enemy) -> None:
    """Votes, commits and catch-ups: forged, stale, of the future, of other sets, by nobody who may vote."""
    await _vote(enemy, list(_VOTES.values()))


async def forged_votes(enemy: Enemy) -> None:
    """Votes of this round in the name of those who may vote, whom they have not asked."""
    await _vote(enemy, [_forged])


async def _vote(enemy: Enemy, kinds: list[Callable[[Enemy, NeighborPacket], object]]) -> None:
    async def one(number: int) -> None:
        where = NeighborPacket(1, 0, BlockNumber(0))

        def heard(intruder: Intruder, channel: int, message: bytes) -> None:
            nonlocal where
            if channel == Channel.GRANDPA and message[:1] == b"\x02":
                where = GOSSIP_MESSAGE.decode(message)._0

        make = kinds[(number + enemy.counts["entered"]) % len(kinds)]
        async with enemy.enter(heard) as intruder:
            await asyncio.sleep(0.05)
            while enemy.goes_on:
                for _ in range(1 if make is _long_commit else HANDFUL):
                    message = GOSSIP_MESSAGE.encode(make(enemy, where))
                    intruder.send(Channel.VOTES if message[0] == 0 else Channel.GRANDPA, message)
                    enemy.counts["frames"] += 1
                if not await intruder.pushed(enemy.until):
                    return
                await asyncio.sleep(PAUSE)

    await enemy.again(one)


def _signed(enemy: Enemy) -> SignedMessage:
    vote = Prevote(Hash(enemy.rng.randbytes(32)), BlockNumber(enemy.rng.randrange(1 << 20)))
    return SignedMessage(vote, enemy.rng.randbytes(64), enemy.rng.choice(VOTERS).public)


def _forged(enemy: Enemy, where: NeighborPacket) -> Vote:
    return Vote(where.round, where.set_id, _signed(enemy))


def _stale(enemy: Enemy, where: NeighborPacket) -> Vote:
    return Vote(enemy.rng.randrange(max(1, where.round - 1)), where.set_id, _signed(enemy))


def _future(enemy: Enemy, where: NeighborPacket) -> Vote:
    return Vote(where.round + 2 + enemy.rng.randrange(1 << 40), where.set_id, _signed(enemy))


def _other_set(enemy: Enemy, where: NeighborPacket) -> Vote:
    return Vote(where.round, where.set_id + 1 + enemy.rng.randrange(1 << 40), _signed(enemy))


def _by_a_stranger(enemy: Enemy, where: NeighborPacket) -> Vote:
    """Return a vote whose signature is right, of a key that has no vote."""
    key = new_key()
    vote = Prevote(Hash(enemy.rng.randbytes(32)), BlockNumber(where.commit_finalized_height + 1))
    signature = key.sign(localized_payload(vote, where.round, where.set_id))
    return Vote(where.round, where.set_id, SignedMessage(vote, signature, key.public))


def _forged_commit(enemy: Enemy, where: NeighborPacket) -> CommitMessage:
    block, number = Hash(enemy.rng.randbytes(32)), BlockNumber(where.commit_finalized_height + 5)
    auth = [(enemy.rng.randbytes(64), voter.public) for voter in VOTERS]
    precommits = [Precommit(block, number)] * len(VOTERS)
    return CommitMessage(where.round, where.set_id, CompactCommit(block, number, precommits, auth))


def _long_commit(enemy: Enemy, where: NeighborPacket) -> CommitMessage:
    """Return a commit with as many votes as there may be."""
    block, number = Hash(enemy.rng.randbytes(32)), BlockNumber(where.commit_finalized_height + 5)
    auth = [(enemy.rng.randbytes(64), enemy.rng.randbytes(32))] * MAX_PRECOMMITS
    votes_ = [Precommit(block, number)] * MAX_PRECOMMITS
    return CommitMessage(where.round, where.set_id, CompactCommit(block, number, votes_, auth))


def _catch_up_request(enemy: Enemy, where: NeighborPacket) -> CatchUpRequest:
    return CatchUpRequest(max(1, where.round - 2), where.set_id)


def _catch_up(enemy: Enemy, where: NeighborPacket) -> CatchUp:
    """Return the votes of a round that nobody has asked for, all forged."""
    block, number = Hash(enemy.rng.randbytes(32)), BlockNumber(where.commit_finalized_height + 5)
    prevotes = [SignedPrevote(Prevote(block, number), bytes(64), voter.public) for voter in VOTERS]
    precommits = [SignedPrecommit(Precommit(block, number), bytes(64), voter.public) for voter in VOTERS]
    return CatchUp(where.set_id, where.round + 3, prevotes, precommits, block, number)


def _neighbour(enemy: Enemy, where: NeighborPacket) -> Neighbor:
    """Say that one is far ahead, then that one is not."""
    number = BlockNumber(enemy.rng.randrange(1 << 31))
    return Neighbor(NeighborPacket(where.round + enemy.rng.randrange(1 << 20), where.set_id, number))


_VOTES: dict[str, Callable[[Enemy, NeighborPacket], object]] = {
    each.__name__.strip("_"): each
    for each in (
        _forged, _stale, _future, _other_set, _by_a_stranger, _forged_commit, _long_commit, _catch_up_request,
        _catch_up, _neighbour,
    )
}  # fmt: skip


# Blocks.


async def liars(enemy: Enemy) -> None:
    """Peers that say they have what they have not, and answer every question with another kind of lie."""
    kinds = list(_LIES.values())

    async def one(number: int) -> None:
        lie = kinds[(number + enemy.counts["entered"]) % len(kinds)]

        def heard(intruder: Intruder, channel: int, message: bytes) -> None:
            if channel == Channel.ANNOUNCES:
                header = BLOCK_ANNOUNCE.decode(message).header
                for made in _next_blocks(enemy, header):
                    intruder.send(Channel.ANNOUNCES, BLOCK_ANNOUNCE.encode(made))
                    enemy.counts["announced"] += 1
            elif channel == Channel.REQUESTS:
                request: BlockRequest = BLOCK_REQUEST.decode(message)
                blocks = lie(enemy, request)
                if blocks is not None:
                    answer = BlockResponse(request.id, blocks)
                    intruder.send(Channel.ANSWERS, BLOCK_RESPONSE.encode(answer))
                enemy.counts["asked"] += 1

        best = enemy.rng.randbytes(32), enemy.rng.choice([50, 1_000, CLAIMED])
        async with enemy.enter(heard, best=best) as intruder:
            await intruder.stay(enemy.until)

    await enemy.again(one)


def _header(enemy: Enemy, parent: Hash, number: int, body: list[bytes]) -> Header:
    return Header(
        parent,
        BlockNumber(number),
        Hash(enemy.rng.randbytes(32)),
        Hash(ordered_root(body)),
        Digest([]),
    )


def _next_blocks(enemy: Enemy, real: Header) -> Iterator[BlockAnnounce]:
    """Yield blocks on top of a real one, or instead of it, that nobody has sealed."""
    body = [enemy.rng.randbytes(40)]
    unsealed = _header(enemy, real.hash(), real.number + 1, body)
    yield BlockAnnounce(unsealed, True, body)
    yield BlockAnnounce(replace(unsealed, digest=real.digest), True, body)
    yield BlockAnnounce(replace(real, state_root=Hash(enemy.rng.randbytes(32))), True, None)
    yield BlockAnnounce(_header(enemy, Hash(enemy.rng.randbytes(32)), real.number + 9, body), True, None)


def _nothing(enemy: Enemy, request: BlockRequest) -> list[BlockData]:
    return []


def _silence(enemy: Enemy, request: BlockRequest) -> None:
    return None


def _made_up(enemy: Enemy, request: BlockRequest) -> list[BlockData]:
    """Return blocks that hang together but begin nowhere."""
    parent = Hash(enemy.rng.randbytes(32))
    number = request.start._0 if isinstance(request.start, FromNumber) else 10
    blocks = []
    for each in range(min(request.count, MAX_BLOCKS)):
        body = [enemy.rng.randbytes(100)]
        header = _header(enemy, parent, number + each, body)
        parent = header.hash()
        blocks.append(BlockData(header, body, None))
    return blocks[::-1] if request.descending else blocks


def _wrong_bodies(enemy: Enemy, request: BlockRequest) -> list[BlockData]:
    blocks = _made_up(enemy, request)
    return [replace(block, body=[enemy.rng.randbytes(1000)]) for block in blocks]


def _false_proofs(enemy: Enemy, request: BlockRequest) -> list[BlockData]:
    blocks = _made_up(enemy, request)
    return [replace(block, justification=enemy.rng.randbytes(5000)) for block in blocks]


def _the_same_again(enemy: Enemy, request: BlockRequest) -> list[BlockData]:
    return _made_up(enemy, request)[:1] * MAX_BLOCKS


_LIES: dict[str, Callable[[Enemy, BlockRequest], list[BlockData] | None]] = {
    each.__name__.strip("_"): each
    for each in (_nothing, _silence, _made_up, _wrong_bodies, _false_proofs, _the_same_again)
}


# Questions.


def questions(enemy: Enemy) -> list[tuple[int, bytes]]:
    """Return what makes a node work and answer most."""
    first, many = FromNumber(BlockNumber(1)), [enemy.rng.randbytes(16) for _ in range(256)]
    return [
        (Channel.REQUESTS, BLOCK_REQUEST.encode(BlockRequest(1, first, False, MAX_BLOCKS, BLOCKS))),
        (Channel.REQUESTS, BLOCK_REQUEST.encode(BlockRequest(2, first, False, MAX_BLOCKS, PROOFS))),
        (Channel.TRANSACTION_REQUESTS, TRANSACTION_REQUEST.encode(TransactionRequest(many))),
        (Channel.TRANSACTION_IDS, TRANSACTION_IDS.encode(TransactionIds(many))),
        (Channel.GRANDPA, GOSSIP_MESSAGE.encode(CatchUpRequest(1, 0))),
        (Channel.STATE_REQUESTS, STATE_REQUEST.encode(StateRequest(3, enemy.genesis, b"", None))),
        (Channel.WARP_REQUESTS, WARP_REQUEST.encode(WarpRequest(4, enemy.genesis))),
        (Channel.PEERS, PEER_EXCHANGE.encode(PeerExchange(True, []))),
    ]  # fmt: skip


async def _ask_on(enemy: Enemy, intruder: Intruder) -> None:
    """Ask every question again and again, until the other side hangs up or the time is over."""
    while enemy.goes_on:
        for channel, message in questions(enemy):
            intruder.send(channel, message)
            enemy.counts["questions"] += 1
        if not await intruder.pushed(enemy.until):
            return
        await asyncio.sleep(PAUSE)


async def question_flood(enemy: Enemy) -> None:
    """Ask for everything, as often as a channel takes it, and read the answers."""

    async def one(number: int) -> None:
        def heard(intruder: Intruder, channel: int, message: bytes) -> None:
            enemy.counts["bytes_answered"] += len(message)

        async with enemy.enter(heard) as intruder:
            await _ask_on(enemy, intruder)

    await enemy.again(one)


async def deaf(enemy: Enemy) -> None:
    """Ask for everything, and never read a byte."""

    async def one(number: int) -> None:
        async with enemy.enter(reads=False) as intruder:
            await _ask_on(enemy, intruder)

    await enemy.again(one)


# Transactions.


async def transactions(enemy: Enemy) -> None:
    """Four kinds that no pool should keep: forged, stale, far in the future, and of those who own nothing."""
    kinds = list(_TRANSACTIONS.values())

    async def one(number: int) -> None:
        offered: dict[bytes, bytes] = {}

        def heard(intruder: Intruder, channel: int, message: bytes) -> None:
            if channel == Channel.TRANSACTION_REQUESTS:
                ids = TRANSACTION_REQUEST.decode(message).ids
                bodies = [offered.pop(each) for each in ids if each in offered]
                intruder.send(Channel.TRANSACTIONS, TRANSACTIONS.encode(Transactions(bodies)))
                enemy.counts["bodies"] += len(bodies)

        make = kinds[(number + enemy.counts["entered"]) % len(kinds)]
        async with enemy.enter(heard) as intruder:
            while enemy.goes_on:
                if len(offered) < 10_000:
                    made = {blake2_256(each)[:16]: each for each in (make(enemy) for _ in range(HANDFUL))}
                    offered |= made
                    intruder.send(Channel.TRANSACTION_IDS, TRANSACTION_IDS.encode(TransactionIds(list(made))))
                    enemy.counts["offered"] += len(made)
                if not await intruder.pushed(enemy.until):
                    return
                await asyncio.sleep(PAUSE)

    await enemy.again(one)


async def unasked_transactions(enemy: Enemy) -> None:
    """Bodies that nobody has asked for."""

    async def one(number: int) -> None:
        async with enemy.enter() as intruder:
            while enemy.goes_on:
                bodies = [enemy.rng.randbytes(200) for _ in range(HANDFUL)]
                intruder.send(Channel.TRANSACTIONS, TRANSACTIONS.encode(Transactions(bodies)))
                enemy.counts["frames"] += 1
                if not await intruder.pushed(enemy.until):
                    return
                await asyncio.sleep(PAUSE)

    await enemy.again(one)


_EVE, _FERDIE = (Keypair.from_suri(f"//{name}", "sr25519") for name in ("Eve", "Ferdie"))


def _remark(enemy: Enemy, by: Keypair, nonce: int) -> bytes:
    return sign(enemy, by, nonce, AssayRuntime.call("System", "remark", enemy.rng.randbytes(16)))


def _badly_signed(enemy: Enemy) -> bytes:
    extrinsic = bytearray(_remark(enemy, _EVE, enemy.rng.randrange(10)))
    extrinsic[50] ^= 1  # in the signature
    return bytes(extrinsic)


def _stale_nonce(enemy: Enemy) -> bytes:
    """Return another one with a nonce that is used, once its first ones are in a block."""
    return _remark(enemy, _FERDIE, enemy.rng.randrange(5))


def _future_nonce(enemy: Enemy) -> bytes:
    return _remark(enemy, _EVE, 10_000 + enemy.rng.randrange(1 << 20))


def _penniless(enemy: Enemy) -> bytes:
    return _remark(enemy, Keypair.from_seed(enemy.rng.randbytes(32), "sr25519"), 0)


_TRANSACTIONS: dict[str, Callable[[Enemy], bytes]] = {
    each.__name__.strip("_"): each for each in (_badly_signed, _stale_nonce, _future_nonce, _penniless)
}
