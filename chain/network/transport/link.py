"""One connection to a peer: a handshake first, then frames, encrypted and in order.

What is sent waits by priority and goes out as fast as the peer takes it; what comes is read as fast as this
node allows. Neither side can make the other keep more than it has promised.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from chain.common.faults import Fault, PeerFault
from chain.network.peers import Bucket
from chain.network.transport.frames import CONTROL, PRIORITIES, Assembler
from chain.network.transport.handshake import MAX_MESSAGE, Greeting
from chain.network.transport.memory import Memory
from chain.network.transport.noise import Channel, NoiseError
from chain.network.transport.queue import SendQueue
from chain.network.transport.wire import Wire, WireClosed
from chain.network.transport.work import PER_FRAME, PER_HANDSHAKE, Work

MAX_QUEUE = 8 << 20
"""bytes that wait for a slow peer"""
REKEY_EVERY = 1 << 20
"""frames"""
HANDSHAKE_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 2.5
"""between two questions whether a peer lives; a cut must be noticed before TCP has lost all haste"""
MAX_UNANSWERED = 4
"""questions whether it lives, after which a peer is taken for gone"""
RECEIVE_RATE = 16 << 20
"""bytes per second from one peer; then it is read no faster"""
RECEIVE_BURST = 32 << 20
"""bytes at once: some of the largest answers"""
MESSAGE_COST = 4 << 10
"""bytes of that share that a frame, or a message, takes beside its own: each is some work"""
_FRAMES_PER_TURN = 4
_QUESTION = Struct(">?Q")
"""Is it an answer | the number of the question"""
_URGENT = 1
"""The priority of votes, after that of CONTROL."""


class LinkClosed(Exception):
    """The connection has ended, or must: says why."""


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """What one connection may take."""

    max_queue: int = MAX_QUEUE  # bytes
    rekey_every: int = REKEY_EVERY  # frames; both ends must agree
    keep_alive: float = KEEP_ALIVE_SECONDS
    receive_rate: float = RECEIVE_RATE  # bytes per second
    receive_burst: int = RECEIVE_BURST  # bytes


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """How a connection does."""

    peer: str
    ip: str
    outbound: bool
    round_trip: float | None  # seconds, of the last measurement
    queued: int  # bytes
    shed: int  # messages that gave way to those of higher priority


async def greet(wire: Wire, greeting: Greeting) -> tuple[str, Channel]:
    """Exchange the handshake's messages; return who is there, and the channel to it.

    Raises: LinkClosed.
    """
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            while not greeting.is_done:
                if greeting.writes_next:
                    wire.write(greeting.write())
                else:
                    greeting.read(await _handshake_message(wire))
        return greeting.finish()
    except TimeoutError as problem:
        raise LinkClosed(f"no handshake within {HANDSHAKE_SECONDS:.0f} s") from problem
    except NoiseError as problem:
        raise LinkClosed(f"handshake failed, as with a node of another chain: {problem}") from problem
    except WireClosed as problem:
        raise LinkClosed(f"{problem} in the handshake; a node of another chain does so, too") from problem


async def _handshake_message(wire: Wire) -> bytes:
    block = await wire.block()
    if len(block) > MAX_MESSAGE:
        raise NoiseError(f"a message of {len(block)} bytes; at most {MAX_MESSAGE} are allowed")
    return bytes(block)


class Link:
    """A connection whose other end is known."""

    def __init__(
        self,
        peer: str,
        channel: Channel,
        wire: Wire,
        memory: Memory,
        now: Callable[[], float],
        *,
        outbound: bool,
        config: LinkConfig = LinkConfig(),
        work: Work | None = None,
    ) -> None:
        """`now` returns seconds that never run backwards; `work` is what strangers share, None for others."""
        self.peer = peer
        self.ip = wire.ip
        self.local_ip = wire.local_ip  # of this node, as the peer sees it
        self.outbound = outbound
        self.reason = ""  # why this side has closed it
        self._sends, self._receives = channel.sends, channel.receives
        self._wire = wire
        self._config = config
        self._share = memory.share(self.close)
        self._queue = SendQueue(config.max_queue, self._share.change)
        self._assembler = Assembler(self._share.change)
        self._now = now
        self._allowance = Bucket(config.receive_rate, config.receive_burst, now())
        self._loop = asyncio.get_running_loop()
        self._is_pumping = self._is_closed = False
        self._fault: PeerFault | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked = self._answered = 0  # the numbers of the last question and of the last answer to one
        self._asked_at = 0.0
        self._round_trip: float | None = None
        self.fastest = math.inf  # seconds, the shortest of all round trips
        self.thanked: float | None = None  # when it was of use, in seconds of the clock
        self._work = work
        if work is not None:
            work.strangers += 1
        wire.can_write = self._wake

    def send(self, channel: int, message: bytes) -> bool:
        """Queue a message; False when the connection is closing or there is no room for it.

        A peer that cannot even take votes is left: it must not seem to be told what it is not.
        """
        if self._wire.is_closing:
            return False
        if not self._queue.put(channel, message):
            if PRIORITIES[channel] <= _URGENT:
                self.close("it takes no more messages, not even votes")
            return False
        self._wake()
        return True

    async def run(self, deliver: Callable[[int, bytes], None]) -> None:
        """Hand every message on, with its channel, until the connection ends.

        Raises: LinkClosed; PeerFault when the peer breaks the format; whatever `deliver` raises.
        """
        self._ask()
        if self._work is not None:
            self._hold(self._work.pause(PER_HANDSHAKE))
        try:
            await self._wire.flow(lambda sealed: self._received(sealed, deliver))
        except WireClosed as problem:
            raise self._end(problem) from problem
        finally:
            self.close()

    def _end(self, problem: WireClosed) -> Exception:
        """Return why it has ended, and keep nothing: what refers to itself stays in memory for long."""
        fault, self._fault = self._fault, None
        return fault or LinkClosed(self.reason or str(problem))

    @property
    def queued(self) -> int:
        """Return how many bytes wait for the peer."""
        return self._queue.size

    def figures(self) -> LinkFigures:
        """Return how this connection does."""
        queue = self._queue
        return LinkFigures(self.peer, self.ip, self.outbound, self._round_trip, queue.size, queue.shed)

    def trust(self) -> None:
        """Take the other end for no stranger from now on."""
        if self._work is not None:
            self._work.strangers -= 1
            self._work = None

    def close(self, reason: str = "") -> None:
        """Hang up; what waits to be sent is lost."""
        if not self._is_closed:
            self._is_closed = True
            self.reason = reason
            if self._timer is not None:
                self._timer.cancel()
            self._queue.clear()
            self._assembler.clear()
            self._share.close()
            self.trust()
            self._wire.can_write = None
            self._wire.abort(reason)

    def _received(self, sealed: memoryview, deliver: Callable[[int, bytes], None]) -> None:
        """Hand on the messages that a frame completes; slow a peer down that takes more than its share."""
        began, work = self._now(), self._work
        try:
            cost = self._take(sealed, deliver)
        except PeerFault as fault:
            self._fault = fault.with_traceback(None)  # which would keep the frame
            self.close(str(fault))
            return
        except NoiseError as problem:
            self.close(str(problem))
            return
        self._allowance.spend(cost)
        now = self._now()
        pause = -self._allowance.left(now) / self._config.receive_rate
        if work is not None:
            pause = max(pause, work.pause(now - began + PER_FRAME))
        self._hold(pause)

    def _hold(self, seconds: float) -> None:
        """Read nothing for a while."""
        if seconds > 0:
            self._wire.hold()
            self._loop.call_later(seconds, self._wire.release)

    def _take(self, sealed: memoryview, deliver: Callable[[int, bytes], None]) -> int:
        """Return how many bytes of the peer's share a frame takes."""
        cost = MESSAGE_COST + len(sealed)
        receives = self._receives
        content = receives.decrypt(sealed)
        if receives.nonce % self._config.rekey_every == 0:
            receives.rekey()
        for channel, message in self._assembler.messages(content):
            cost += MESSAGE_COST
            if channel == CONTROL:
                self._control(message)
            else:
                deliver(channel, message)
            if self._is_closed:
                break
        return cost

    def _wake(self) -> None:
        """Send the first message of a turn of the event loop at once, and the others together after it."""
        if not self._is_pumping and self._wire.is_writable:
            self._is_pumping = True
            self._loop.call_soon(self._pump)
            self._send_frame()

    def _pump(self) -> None:
        """Send some frames; the rest in later turns."""
        self._is_pumping = False
        for _ in range(_FRAMES_PER_TURN):
            if not (self._wire.is_writable and self._send_frame()):
                return
        if self._wire.is_writable:
            self._is_pumping = True
            self._loop.call_soon(self._pump)

    def _send_frame(self) -> bool:
        """Send what goes first; False when nothing waits."""
        content = self._queue.frame()
        if not content:
            return False
        self._wire.write(self._sends.encrypt(content))
        if self._sends.nonce % self._config.rekey_every == 0:
            self._sends.rekey()
        return True

    # Does the peer live, and how far away is it?

    def _ask(self) -> None:
        if self._asked - self._answered >= MAX_UNANSWERED:
            self.close(f"it has not answered for {MAX_UNANSWERED * self._config.keep_alive:.0f} s")
            return
        self._asked += 1
        self._asked_at = self._now()
        if self.send(CONTROL, _QUESTION.pack(False, self._asked)):
            self._timer = self._loop.call_later(self._config.keep_alive, self._ask)

    def _control(self, message: bytes) -> None:
        """Answer a question, or note an answer."""
        if len(message) != _QUESTION.size:
            raise PeerFault(Fault.MALFORMED, f"a question of {len(message)} bytes")
        is_answer, number = _QUESTION.unpack(message)
        if not is_answer:
            self.send(CONTROL, _QUESTION.pack(True, number))
        elif self._answered < number <= self._asked:
            self._answered = number
            if number == self._asked:
                self._round_trip = self._now() - self._asked_at
                self.fastest = min(self.fastest, self._round_trip)
