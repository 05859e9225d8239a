"""How messages travel: cut into pieces, packed into frames, put together again.

frame   u16 length, big endian | Noise message of at most 65,535 bytes
inside  pieces, one after the other:
        channel u8 | u32 bytes of the message that later pieces bring | u16 bytes of this one | bytes

A message that fits is one piece. A longer one says at once how long it will be, so the receiver refuses it
before it keeps a byte; pieces of other channels may come between its own, never out of order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import Struct

from chain.common.faults import Fault, PeerFault
from chain.network.messages import LIMITS
from chain.network.transport.noise import MAX_MESSAGE, TAG_SIZE

HEAD = Struct(">BIH")
MAX_FRAME = MAX_MESSAGE
"""bytes of a sealed frame"""
MAX_CONTENT = MAX_FRAME - TAG_SIZE
"""bytes of pieces in a frame"""
MAX_PIECES = 1_024
"""in a frame: what 64 KiB can make a receiver do is bounded"""
MIN_PIECE = 1_024
"""bytes of a piece that does not end its message: nobody sends 4 MiB by the byte"""
CONTROL = 255
"""The channel on which links ask each other whether they live."""
_CONTROL_SIZE = 16
_UNKNOWN_SIZE = 64 << 10
"""bytes of a message on a channel that a later version may know"""

SIZES = [_UNKNOWN_SIZE] * 256
"""bytes of a message, by channel"""
PRIORITIES = [1 + max(each.priority for each in LIMITS.values())] * 256
"""by channel; 0 goes first"""
for _channel, _limits in LIMITS.items():
    SIZES[_channel], PRIORITIES[_channel] = _limits.size, 1 + _limits.priority
SIZES[CONTROL], PRIORITIES[CONTROL] = _CONTROL_SIZE, 0


@dataclass(slots=True)
class _Unfinished:
    """A message of which pieces are missing."""

    left: int  # bytes
    size: int = 0  # bytes that are here
    pieces: list[bytes] = field(default_factory=list)


class Assembler:
    """Makes messages of the pieces of one peer."""

    def __init__(self, hold: Callable[[int], None]) -> None:
        """`hold` is told by how many bytes what is kept here changes."""
        self._hold = hold
        self._unfinished: dict[int, _Unfinished] = {}  # by channel

    def messages(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (channel, message) as the pieces of the next frame complete them.

        Raises: PeerFault.
        """
        at, end, unfinished = 0, len(content), self._unfinished
        if not content:
            raise PeerFault(Fault.MALFORMED, "an empty frame")
        for _ in range(MAX_PIECES):
            if end - at < HEAD.size:
                break
            channel, left, size = HEAD.unpack_from(content, at)
            at, begin = at + HEAD.size + size, at + HEAD.size
            if at > end:
                raise PeerFault(Fault.MALFORMED, f"a piece ends {at - end} bytes after its frame")
            if left or channel in unfinished:
                whole = self._add(channel, left, content[begin:at])
                if whole is not None:
                    yield channel, whole
            elif size > SIZES[channel]:
                raise _too_long(size, channel)
            else:
                yield channel, content[begin:at]
        if at != end:
            raise PeerFault(Fault.MALFORMED, f"{end - at} bytes too many in a frame")

    def clear(self) -> None:
        """Forget what is not complete."""
        self._hold(-sum(message.size for message in self._unfinished.values()))
        self._unfinished.clear()

    def _add(self, channel: int, left: int, piece: bytes) -> bytes | None:
        """Keep a piece; return the message that it completes."""
        size = len(piece)
        message = self._unfinished.get(channel)
        if message is None:
            if size + left > SIZES[channel]:
                raise _too_long(size + left, channel)
            message = self._unfinished[channel] = _Unfinished(size + left)
        if message.left != size + left:
            raise PeerFault(Fault.MALFORMED, f"a message on channel {channel} changes its length")
        if left and size < MIN_PIECE:
            raise PeerFault(Fault.MALFORMED, f"a piece of {size} bytes which is not the last one")
        message.left = left
        message.pieces.append(piece)
        if left:
            message.size += size
            self._hold(size)
            return None
        del self._unfinished[channel]
        self._hold(-message.size)
        return b"".join(message.pieces)


def _too_long(size: int, channel: int) -> PeerFault:
    what = f"a message of {size} bytes on channel {channel}, which takes {SIZES[channel]}"
    return PeerFault(Fault.TOO_LARGE, what)
