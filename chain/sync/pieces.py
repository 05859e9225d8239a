"""What is missing of a state, in pieces for requests, cut where proofs have shown that there are keys.

Proofs also tell about which part of the state lies below a key; with the bytes that came so far that says how
much is left.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chain.storage.range_proof import Shown
from chain.storage.restore import Span

SMALL = 1 << 18
"""bytes; a piece believed to be smaller is not cut"""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some missing keys."""

    span: Span
    density: float = 0.0  # bytes of the whole state, were all of it like what lies before this; 0: not known


class Pieces:
    """The missing pieces: those that wait, and those that somebody was asked for."""

    def __init__(self, missing: Sequence[Span]) -> None:
        self.fetched = 0  # bytes
        self._waiting = [Piece(span) for span in missing]
        self._taken: Counter[Piece] = Counter()  # how many have one
        self._marks = [b""]  # keys in order
        self._places = {b"": 0.0}  # which part of the state lies below a mark, about

    def take(self, takers: int) -> Piece | None:
        """Return the largest piece that waits; cut in two where there are more takers than pieces."""
        if not self._waiting:
            return None
        piece = max(self._waiting, key=self._size)
        self._waiting.remove(piece)
        middle = self._middle(piece) if takers > len(self._waiting) + 1 else None
        if middle is not None:
            self._waiting.append(replace(piece, span=Span(middle, piece.span.end)))
            piece = replace(piece, span=Span(piece.span.start, middle))
        self._taken[piece] = 1
        return piece

    def take_too(self, piece: Piece) -> None:
        """Let one more have a taken piece: whoever is first will do."""
        self._taken[piece] += 1

    def takers(self, piece: Piece) -> int:
        """Return how many have a piece; 0 for one that is there."""
        return self._taken[piece]

    def give_back(self, piece: Piece) -> None:
        """Let somebody else take a piece, unless it is there, or others have it still."""
        if piece in self._taken:
            self._taken[piece] -= 1
            if not self._taken[piece]:
                del self._taken[piece]
                self._waiting.append(piece)

    def got(self, piece: Piece, until: bytes | None, shown: Shown, size: int) -> None:
        """Note that a taken piece is there up to a key (None: all of it), in so many bytes."""
        del self._taken[piece]
        self.fetched += size
        start, end = piece.span.start, piece.span.end if until is None else until
        covered = (shown.place if until is not None else self._place(end)) - self._place(start)
        above = bisect_right(self._marks, start)
        below = len(self._marks) if end is None else bisect_left(self._marks, end, above)
        for mark in self._marks[above:below]:
            del self._places[mark]
        del self._marks[above:below]
        for shown_mark in shown.beyond:
            self._mark(shown_mark.key, shown_mark.place)
        if until is not None:
            self._mark(until, shown.place)
            density = size / covered if covered > 0 else piece.density
            self._waiting.append(Piece(Span(until, piece.span.end), density))

    @property
    def left(self) -> float:
        """Bytes that are missing still, as far as one can tell."""
        return sum(self._size(piece) for piece in (*self._waiting, *self._taken))

    def _mark(self, key: bytes, place: float) -> None:
        at = bisect_left(self._marks, key)
        if at == len(self._marks) or self._marks[at] != key:
            self._marks.insert(at, key)
        self._places[key] = place

    def _place(self, key: bytes | None) -> float:
        return 1.0 if key is None else self._places[self._marks[bisect_right(self._marks, key) - 1]]

    def _share(self, piece: Piece) -> float:
        return max(0.0, self._place(piece.span.end) - self._place(piece.span.start))

    def _size(self, piece: Piece) -> float:
        """Return how many bytes a piece has, in some unit as long as nothing has come."""
        return self._share(piece) * (piece.density or self.fetched or 1)

    def _middle(self, piece: Piece) -> bytes | None:
        """Return the mark inside a piece that parts it best; None where none does."""
        if piece.density and self._size(piece) < SMALL:
            return None
        low, high = self._place(piece.span.start), self._place(piece.span.end)
        first = bisect_right(self._marks, piece.span.start)
        end = piece.span.end
        last = len(self._marks) if end is None else bisect_left(self._marks, end, first)
        inner = [mark for mark in self._marks[first:last] if low < self._places[mark] < high]
        return min(inner, key=lambda mark: abs(self._places[mark] - (low + high) / 2), default=None)
