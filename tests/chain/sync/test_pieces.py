"""A state in pieces: together they are always what is missing, and many takers share a large one."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.storage.range_proof import prove_range, verify_range
from chain.storage.restore import WHOLE, HeldSnapshot, Span, without
from chain.storage.state import Cache, Disk, View
from chain.sync import pieces
from chain.sync.pieces import Piece, Pieces
from runtime.primitives.trie import trie_root

ACCOUNTS = {b"\x26" * 8 + random.Random(each).randbytes(8): bytes(80) for each in range(400)}
STATE = ACCOUNTS | {bytes([each * 12]) + b"x" * 5: bytes(each) for each in range(20)}
SIZE = sum(len(key) + len(value) for key, value in STATE.items())
ROOT = trie_root(STATE)
READER = View((), Disk(HeldSnapshot(STATE), Cache(1 << 22)))


def give(found: Pieces, piece: Piece, limit: int) -> Span:
    """Answer for a piece; return what of it is there then."""
    start, end = piece.span.start, piece.span.end
    answer = prove_range(READER, start, limit, end)
    shown = verify_range(ROOT, start, answer)
    entries = [each for each in answer.entries if end is None or each[0] < end]
    is_whole = answer.is_complete or len(entries) < len(answer.entries)
    until = None if is_whole else entries[-1][0] + b"\x00"
    found.got(piece, until, shown, sum(len(key) + len(value) for key, value in entries))
    return Span(start, until if until is not None else end)


def joined(spans: list[Span]) -> list[Span]:
    """Return spans in order, those that touch as one."""
    whole: list[Span] = []
    for span in sorted(spans, key=lambda each: each.start):
        if whole and whole[-1].end == span.start:
            whole[-1] = Span(whole[-1].start, span.end)
        else:
            whole.append(span)
    return whole


@given(st.integers(0, 1 << 32), st.sampled_from([1_000, 4_000, 100_000]))
@settings(max_examples=12)
def test_the_pieces_are_what_is_missing(seed: int, limit: int) -> None:
    rng = random.Random(seed)
    found, missing, taken = Pieces([WHOLE]), [WHOLE], list[Piece]()
    while missing:
        piece = found.take(rng.randrange(1, 6))
        if piece is not None:
            taken.append(piece)
        if rng.random() < 0.3:
            taken.append(rng.choice(taken))
            found.take_too(taken[-1])
        if piece is None or rng.random() < 0.5:
            one = taken.pop(rng.randrange(len(taken)))
            if rng.random() < 0.2:
                found.give_back(one)
            else:
                missing = without(missing, give(found, one, limit))
                taken, late = [each for each in taken if each != one], taken.count(one)
                assert found.takers(one) == 0
                for _ in range(late):
                    found.give_back(one)
        assert all(found.takers(each) == taken.count(each) for each in taken)
        spans = [each.span for each in (*found._waiting, *set(taken))]
        assert joined(spans) == joined(missing)
    assert found.take(1) is None
    assert found.fetched == SIZE
    assert found.left == 0.0


def test_many_takers_share_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SMALL", 0)
    found = Pieces([WHOLE])
    first = found.take(8)
    assert first is not None
    assert found.take(8) is None
    give(found, first, 1_000)
    rounds = 0
    while found.left:
        taken = [piece for place in range(8) if (piece := found.take(8 - place)) is not None]
        rounds += 1
        for piece in taken:
            give(found, piece, 1_000)
    assert rounds < SIZE / 1_000 / 3, "eight takers are not three times as quick as one"


def test_a_piece_that_is_small_is_not_cut() -> None:
    found = Pieces([WHOLE])
    first = found.take(8)
    assert first is not None
    give(found, first, 1_000)
    rest = found.take(8)
    assert rest is not None
    assert found.take(8) is None
