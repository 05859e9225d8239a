"""Peers that are no nodes: they say whatever harms, in messages that look right."""

import asyncio
import random
from collections.abc import Callable

from chain.common.block_data import BlockData
from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    CatchUp,
    CatchUpRequest,
    Neighbor,
    NeighborPacket,
    Vote,
)
from chain.network.messages import (
    BLOCK_ANNOUNCE,
    BLOCK_REQUEST,
    BLOCK_RESPONSE,
    LIMITS,
    PROTOCOL_VERSION,
    STATUS,
    BlockAnnounce,
    BlockRequest,
    BlockResponse,
    Channel,
    Status,
)
from runtime.primitives.grandpa import Prevote, SignedMessage
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import ZERO_HASH, Hash
from tests.sim.env import Life
from tests.sim.transport import SimNetwork, SimTransport

EVERY = 1.5
"""seconds between two lies"""


class Liar:
    """One such peer: chain.env.PeerHandler."""

    def __init__(self, network: SimNetwork, name: str, genesis: Hash, rng: random.Random) -> None:
        self.name = name
        self._rng = rng
        self._genesis = genesis
        self._transport = SimTransport(network, name, Life())
        self._heard: list[tuple[int, bytes]] = []  # what others said, to be said again
        self._headers: list[Header] = []
        self._peers: list[str] = []
        lies: list[Callable[[str], None]] = [
            self._repeat, self._announce, self._boast, self._forge, self._mumble, self._answer,
        ]  # fmt: skip
        self._lies = rng.sample(lies, 2)  # who tells all of them is banned at once
        self._answers_nothing = rng.random() < 0.5

    async def run(self) -> None:
        """Lie until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._transport.run(self))
            while True:
                await asyncio.sleep(self._rng.uniform(0.1, EVERY))
                if self._peers:
                    self._lie(self._rng.choice(self._peers))

    def connected(self, peer: str) -> None:
        """Claim to be far ahead."""
        self._peers.append(peer)
        ahead = self._rng.choice((0, 7, 100_000))
        status = Status(PROTOCOL_VERSION, 4, self._genesis, self._hash(), ahead, self._hash(), ahead)
        self._say(peer, Channel.STATUS, STATUS.encode(status))

    def disconnected(self, peer: str) -> None:
        """Leave whoever has had enough."""
        self._peers.remove(peer)

    def received(self, peer: str, channel: int, message: bytes) -> None:
        """Remember what may be said again; answer requests with lies."""
        if channel == Channel.REQUESTS:
            request: BlockRequest = BLOCK_REQUEST.decode(message)
            blocks = [] if self._answers_nothing else self._blocks()
            self._say(peer, Channel.ANSWERS, BLOCK_RESPONSE.encode(BlockResponse(request.id, blocks)))
            return
        if channel == Channel.ANNOUNCES:
            self._headers = [*self._headers[-20:], BLOCK_ANNOUNCE.decode(message).header]
        elif channel in (Channel.VOTES, Channel.GRANDPA):
            asked = GOSSIP_MESSAGE.decode(message)
            if isinstance(asked, CatchUpRequest):
                self._say(peer, Channel.GRANDPA, GOSSIP_MESSAGE.encode(self._catch_up(asked)))
        self._heard = [*self._heard[-200:], (channel, message)]

    def _lie(self, peer: str) -> None:
        self._rng.choice(self._lies)(peer)

    def _repeat(self, peer: str) -> None:
        """Say old things again."""
        for channel, message in self._rng.sample(self._heard, min(5, len(self._heard))):
            self._say(peer, channel, message)

    def _announce(self, peer: str) -> None:
        """Announce a block that nobody has, on one that everybody has."""
        announced = BlockAnnounce(self._header(), True, self._rng.choice((None, [], [b"\x00" * 9])))
        self._say(peer, Channel.ANNOUNCES, BLOCK_ANNOUNCE.encode(announced))

    def _boast(self, peer: str) -> None:
        """Claim to be rounds ahead, so that others ask for what does not exist."""
        packet = NeighborPacket(self._rng.choice((5, 1_000, 1 << 40)), 0, self._rng.choice((0, 90_000)))
        self._say(peer, Channel.GRANDPA, GOSSIP_MESSAGE.encode(Neighbor(packet)))

    def _forge(self, peer: str) -> None:
        """Vote in somebody's name."""
        votes = [
            GOSSIP_MESSAGE.decode(message) for channel, message in self._heard if channel == Channel.VOTES
        ]
        if votes:
            heard = self._rng.choice(votes)
            forged = SignedMessage(Prevote(self._hash(), 9), heard.message.signature, heard.message.id)
            vote = Vote(heard.round, heard.set_id, forged)
            self._say(peer, Channel.VOTES, GOSSIP_MESSAGE.encode(vote))

    def _mumble(self, peer: str) -> None:
        """Say something that is no message."""
        channel = self._rng.choice(list(LIMITS))
        self._say(peer, channel, self._rng.randbytes(self._rng.randrange(200)))

    def _answer(self, peer: str) -> None:
        """Answer what nobody asked."""
        response = BlockResponse(self._rng.randrange(10), self._blocks())
        self._say(peer, Channel.ANSWERS, BLOCK_RESPONSE.encode(response))

    def _catch_up(self, asked: CatchUpRequest) -> CatchUp:
        """Return a round that was never completed."""
        return CatchUp(asked.set_id, asked.round, [], [], self._hash(), self._rng.randrange(50))

    def _blocks(self) -> list[BlockData]:
        """Return some headers, true ones and others, with bodies and proofs that are not theirs."""
        true = self._rng.sample(self._headers, min(3, len(self._headers)))
        proof = self._rng.choice((None, b"", self._rng.randbytes(40)))
        return [BlockData(header, [], proof) for header in (*true, self._header())]

    def _header(self) -> Header:
        parent = self._rng.choice(self._headers) if self._headers else None
        below, number = (parent.hash(), parent.number) if parent is not None else (self._genesis, 0)
        logs = parent.digest if parent is not None and self._rng.random() < 0.5 else Digest([])
        return Header(Hash(below), number + 1, self._hash(), ZERO_HASH, logs)

    def _hash(self) -> Hash:
        return Hash(self._rng.randbytes(32))

    def _say(self, peer: str, channel: int, message: bytes) -> None:
        self._transport.send(peer, channel, message)
