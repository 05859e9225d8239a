"""Two ends of a connection on this machine, for tests of links."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from chain.common.faults import PeerFault
from chain.env_real import RealRng
from chain.keys.pair import Keypair
from chain.network.transport.handshake import Greeting, Identity
from chain.network.transport.link import Link, LinkClosed, LinkConfig, greet
from chain.network.transport.memory import Memory
from chain.network.transport.wire import Wire
from chain.network.transport.work import Work

GENESIS = bytes(range(32))


@dataclass
class End:
    """One end: its link, what it was told, and how that ended."""

    link: Link
    wire: Wire
    memory: Memory
    heard: asyncio.Queue[tuple[int, bytes]] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[LinkClosed | PeerFault] | None = None

    def start(self, deliver: Callable[[int, bytes], None] | None = None) -> None:
        """Read from now on."""
        self.task = asyncio.ensure_future(self._run(deliver or (lambda *told: self.heard.put_nowait(told))))

    async def next(self) -> tuple[int, bytes]:
        """Return what is heard next."""
        async with asyncio.timeout(60):
            return await self.heard.get()

    async def end(self) -> LinkClosed | PeerFault:
        """Return how the connection ends."""
        assert self.task is not None, "it was started"
        async with asyncio.timeout(60):
            return await self.task

    async def _run(self, deliver: Callable[[int, bytes], None]) -> LinkClosed | PeerFault:
        try:
            await self.link.run(deliver)
        except (LinkClosed, PeerFault) as ended:
            return ended
        raise AssertionError("a link ends with a reason")


@contextlib.asynccontextmanager
async def wires() -> AsyncIterator[tuple[Wire, Wire]]:
    """Connect two sockets; who dialled comes first."""
    loop = asyncio.get_running_loop()
    met: asyncio.Queue[Wire] = asyncio.Queue()
    server = await loop.create_server(lambda: Wire(met.put_nowait), "127.0.0.1", 0)
    _, dialled = await loop.create_connection(Wire, *server.sockets[0].getsockname())
    accepted = await met.get()
    try:
        yield dialled, accepted
    finally:
        dialled.abort()
        accepted.abort()
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def ends(
    config: LinkConfig | None = None,
    *,
    starts: int = 2,
    memory: Memory | None = None,
    now: Callable[[], float] = time.monotonic,
    work: Work | None = None,
) -> AsyncIterator[tuple[End, End]]:
    """Connect two links; who dialled comes first, a stranger where there is `work` for the other.

    `starts` says how many of them read at once.
    """
    async with wires() as pair:
        identities = [Identity.of(Keypair.from_suri(f"//End{each}", "ed25519"), RealRng()) for each in (0, 1)]
        greetings = [
            Greeting(identity, GENESIS, RealRng(), initiator=not number)
            for number, identity in enumerate(identities)
        ]
        known = await asyncio.gather(*map(greet, pair, greetings))
        made = []
        for wire, (peer, channel), outbound in zip(pair, known, (True, False), strict=True):
            kept = memory or Memory()
            link = Link(
                peer, channel, wire, kept, now,
                outbound=outbound, config=config or LinkConfig(), work=None if outbound else work,
            )  # fmt: skip
            made.append(End(link, wire, kept))
        for end in made[:starts]:
            end.start()
        try:
            yield made[0], made[1]
        finally:
            for end in made:
                end.link.close("the test is over")
                if end.task is not None:
                    end.task.cancel()
                    await asyncio.wait([end.task])
