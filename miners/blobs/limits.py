"""What callers may use of a server: bytes per second, transfers at once, and who comes first.

Registered callers wait for each other by stake; everybody else shares a small part that they cannot outgrow.
"""

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from chain.common.http_door import Bounds
from miners.blobs.signing import BadRequest

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of a blob server; sizes in bytes, times in seconds."""

    connections: int = 512  # half of them for signers; another's oldest makes room for a new one
    connections_per_address: int = 32  # loopback, where all the workers of one machine are, is exempt
    connections_per_signer: int = 16  # that do not make room
    head_seconds: float = 10.0  # for the head of a request, the first one or the next on a connection
    rate: int = 64 * MIB  # per second, everybody together, each way
    signer_rate: int = 16 * MIB
    stranger_rate: int = 4 * MIB  # all who do not sign
    transfers: int = 64  # at once, signed
    signer_transfers: int = 8
    stranger_transfers: int = 8
    address_transfers: int = 2  # of one address that does not sign
    private_rate: int = 16 * MIB  # per second, what is for judges only, all of them together
    private_transfers: int = 128  # at once; no subnet has more judges
    private_signer_transfers: int = 1  # of one judge: nobody keeps the others from what they audit
    queue: int = 256  # signed requests that wait for a transfer to end
    queue_seconds: float = 10.0
    chunk_seconds: float = 10.0  # for a reader to take, or a sender to send, one chunk
    least_rate: int = 16 << 10  # per second over a whole transfer
    most_callers: int = 4_096  # whose rates are remembered

    def bounds(self) -> Bounds:
        """Return what of it is about connections."""
        return Bounds(
            self.connections, self.connections_per_address, self.head_seconds, self.connections_per_signer
        )


class Rate:
    """So many bytes per second; a second's worth at once after a rest."""

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._paid_until = 0.0

    def owe(self, size: int) -> float:
        """Count so many bytes and return how long to wait for them, in seconds."""
        now = self._clock()
        self._paid_until = max(self._paid_until, now - 1.0) + size / self._per_second
        return max(0.0, self._paid_until - now)

    @property
    def is_rested(self) -> bool:
        """Whether nothing of what was used matters any more."""
        return self._clock() - self._paid_until >= 1.0


class Rates:
    """One rate for each caller, one for all strangers, one for everybody."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = Rate(limits.rate)
        self._strangers = Rate(limits.stranger_rate)
        self._signers: dict[bytes, Rate] = {}

    async def take(self, signer: bytes | None, size: int) -> None:
        """Wait until so many bytes may pass."""
        wait = self._of(signer).owe(size)
        if wait:
            await asyncio.sleep(wait)
        wait = self._all.owe(size)
        if wait:
            await asyncio.sleep(wait)

    def _of(self, signer: bytes | None) -> Rate:
        if signer is None:
            return self._strangers
        if signer not in self._signers:
            if len(self._signers) >= self._limits.most_callers:
                busy = {each: rate for each, rate in self._signers.items() if not rate.is_rested}
                self._signers = busy
            self._signers[signer] = Rate(self._limits.signer_rate)
        return self._signers[signer]


class Turns:
    """Who may transfer now: so many at once, those with more stake first, strangers among themselves."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running = 0
        self._by_caller: Counter[bytes | str] = Counter()
        self._strangers = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @asynccontextmanager
    async def signed(self, signer: bytes, stake: int) -> AsyncIterator[None]:
        """Hold one of a registered caller's transfers.

        Raises: BadRequest when it has too many, or none becomes free in time.
        """
        most = self._limits.signer_transfers
        with _counted(self._by_caller, signer, most, f"{most} transfers of this hotkey run: wait for one"):
            await self._enter(stake)
            try:
                yield
            finally:
                self._leave()

    @asynccontextmanager
    async def stranger(self, address: str) -> AsyncIterator[None]:
        """Hold one of the transfers that anybody may make.

        Raises: BadRequest.
        """
        if self._strangers >= self._limits.stranger_transfers:
            raise BadRequest(503, "all transfers for callers that do not sign are taken: sign, or try again")
        most = self._limits.address_transfers
        with _counted(self._by_caller, address, most, f"{most} transfers to {address} run: wait, or sign"):
            self._strangers += 1
            try:
                yield
            finally:
                self._strangers -= 1

    async def _enter(self, stake: int) -> None:
        if self._running < self._limits.transfers:
            self._running += 1
            return
        if len(self._waiting) >= self._limits.queue:
            self._displace(stake)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (-stake, next(self._numbers), turn)
        heapq.heappush(self._waiting, entry)
        is_mine = False
        try:
            await asyncio.wait_for(turn, self._limits.queue_seconds)
            is_mine = True
        except TimeoutError as problem:
            waited = f"{self._limits.queue_seconds:g} s"
            raise BadRequest(503, f"no transfer ended within {waited}: try again") from problem
        finally:
            if turn.cancelled() and entry in self._waiting:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            elif turn.done() and not (is_mine or turn.cancelled() or turn.exception()):
                self._leave()  # given to us in the moment we stopped waiting

    def _displace(self, stake: int) -> None:
        """Send away the last who waits, for somebody with more stake.

        Raises: BadRequest when there is none.
        """
        refusal = BadRequest(503, "too many callers wait: try again")
        last = max(self._waiting, default=(-stake, 0, None))
        if last[0] <= -stake or last[2] is None:
            raise refusal
        self._waiting.remove(last)
        heapq.heapify(self._waiting)
        if not last[2].done():
            last[2].set_exception(refusal)

    def _leave(self) -> None:
        """Give the turn to the first who still waits."""
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1


class _counted:
    """One more of a caller's transfers, as long as it has less than `most`."""

    def __init__(self, running: "Counter[bytes | str]", caller: bytes | str, most: int, refusal: str) -> None:
        self._running, self._caller, self._most, self._refusal = running, caller, most, refusal

    def __enter__(self) -> None:
        if self._running[self._caller] >= self._most:
            raise BadRequest(429, self._refusal)
        self._running[self._caller] += 1

    def __exit__(self, *problem: object) -> None:
        self._running[self._caller] -= 1
        if not self._running[self._caller]:
            del self._running[self._caller]
