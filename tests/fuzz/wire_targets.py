"""What comes over a socket before it is a message: pieces in frames, and the messages of a handshake."""

from collections.abc import Callable, Iterator

from chain.common.faults import Fault, PeerFault
from chain.network.messages import Channel
from chain.network.transport.frames import CONTROL, HEAD, MAX_CONTENT, Assembler
from chain.network.transport.handshake import Greeting, Identity
from chain.network.transport.noise import NoiseError
from chain.network.transport.queue import SendQueue
from tests.fuzz.engine import Target
from tests.sim.genesis import session_pair

GENESIS = bytes(32)
SPLIT = b"\xa5split\x5a"
"""Ends a frame in an input of several."""


class Counted:
    """The same bytes in every run, others in every call: a source of keys."""

    def __init__(self, first: int) -> None:
        self._next = first

    def token(self, size: int) -> bytes:
        """Return so many bytes."""
        self._next += 1
        return self._next.to_bytes(size, "little")


def pieces(content: bytes) -> list[tuple[int, bytes]]:
    """Read one frame of whole messages."""
    held = [0]
    found = list(Assembler(held.append).messages(content))
    if sum(held):
        raise PeerFault(Fault.MALFORMED, "a message is not whole")
    return found


def packed(messages: list[tuple[int, bytes]]) -> bytes:
    """Write a frame of whole messages in this order."""
    return b"".join(HEAD.pack(channel, 0, len(message)) + message for channel, message in messages)


def frames(content: bytes) -> list[tuple[int, int]]:
    """Read frames one after the other, and check that what is held is what is unfinished, and bounded."""
    held = 0

    def hold(by: int) -> None:
        nonlocal held
        held += by
        assert 0 <= held <= len(content), "more is held than has come"

    assembler = Assembler(hold)
    found: list[tuple[int, int]] = []
    for frame in content.split(SPLIT):
        found += [(channel, len(message)) for channel, message in assembler.messages(frame[:MAX_CONTENT])]
    assembler.clear()
    assert held == 0, "something is held of nothing"
    return found


def greeting(*, initiator: bool) -> Greeting:
    """Return a side of the handshake whose keys are always the same."""
    rng = Counted(1 if initiator else 1_000)
    identity = Identity.of(session_pair("v0" if initiator else "v1"), rng)
    return Greeting(identity, GENESIS, rng, initiator=initiator)


def transcript() -> tuple[bytes, bytes, bytes]:
    """Return the three messages of an honest handshake."""
    one, other = greeting(initiator=True), greeting(initiator=False)
    first = one.write()
    other.read(first)
    second = other.write()
    one.read(second)
    return first, second, one.write()


def first_message(message: bytes) -> Greeting:
    """Read the first message and answer it."""
    side = greeting(initiator=False)
    side.read(message)
    side.write()
    return side


def second_message(message: bytes) -> Greeting:
    """Read the second message, and say who is there."""
    side = greeting(initiator=True)
    side.write()
    side.read(message)
    side.write()
    side.finish()
    return side


def third_message(message: bytes) -> Greeting:
    """Read the third message, and say who is there."""
    side = greeting(initiator=False)
    side.read(transcript()[0])
    side.write()
    side.read(message)
    side.finish()
    return side


def _frames_of(*messages: tuple[int, bytes]) -> Iterator[bytes]:
    queue = SendQueue(64 << 20, lambda _: None)
    for channel, message in messages:
        assert queue.put(channel, message)
    while frame := queue.frame():
        yield frame


def _handshake(number: int, read: Callable[[bytes], Greeting]) -> Target:
    return Target(
        f"network.handshake_{number}", read, (NoiseError,), (transcript()[number - 1],),
        why_loose="a handshake is not a value", quick=300, long=100_000,
    )  # fmt: skip


def targets() -> list[Target]:
    """Return the targets of this module."""
    small = (Channel.VOTES, b"vote"), (Channel.REQUESTS, bytes(60)), (CONTROL, bytes(9)), (77, b"")
    heads = tuple(HEAD.pack(channel, left, 1_024) for channel in (1, 5, 255) for left in (0, 1_024, 1 << 31))
    several = _frames_of(*small, (5, bytes(140_000)))
    cut = HEAD.pack(5, 1_030, 1_024) + bytes(1_024) + SPLIT + HEAD.pack(5, 0, 6) + bytes(6)
    return [
        Target("network.frame", pieces, (PeerFault,), tuple(_frames_of(*small)), packed, words=heads),
        Target(
            "network.frames", frames, (PeerFault,), (cut, SPLIT.join(several)),
            why_loose="a message may be cut in many ways", kind=len, words=(SPLIT, *heads), long=300_000,
        ),
        _handshake(1, first_message),
        _handshake(2, second_message),
        _handshake(3, third_message),
    ]  # fmt: skip
