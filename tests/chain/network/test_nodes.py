"""Real nodes over links: what one has reaches the others."""

import asyncio
from dataclasses import replace

from chain.common.faults import Fault
from chain.network.blocks import answer
from chain.network.messages import (
    BLOCK_REQUEST,
    LIMITS,
    STATUS,
    BlockRequest,
    Channel,
    FromNumber,
)
from runtime.primitives.babe import pre_digest_of
from runtime.primitives.types import Hash
from tests.chain.network.lab import Lab, Scripted, play, status_of

FOUR = ("a", "b", "c", "d")
LINE = (("a", "b"), ("b", "c"), ("c", "d"))


def test_four_voters_in_a_line_finalise_each_other_s_blocks() -> None:
    """Two of them are three links apart: votes and blocks reach them by way of the others."""

    async def script(lab: Lab) -> None:
        nodes = [lab.start(name, f"v{index}") for index, name in enumerate(FOUR)]
        await lab.until(lambda: all(node.store.finalized_number >= 10 for node in nodes), 60)
        chains = {tuple(map(node.store.hash_at, range(11))) for node in nodes}
        assert len(chains) == 1
        headers = [nodes[0].store.header(block) for block in chains.pop()[1:] if block is not None]
        assert len({pre_digest_of(header).authority_index for header in headers if header}) > 1
        assert [sorted(node.network.peers()) for node in nodes] == [["b"], ["a", "c"], ["b", "d"], ["c"]]

    play(script, FOUR, LINE, validators=4)


def test_a_peer_of_another_chain_is_dropped_before_anything_is_told() -> None:
    async def script(lab: Lab) -> None:
        node = lab.start("a")
        stranger = Scripted(lab, "b", node.store, status_of(node))
        stranger.status = replace(stranger.status, genesis=Hash(bytes(32)))
        await lab.until(lambda: bool(lab.network.drops), 10)
        assert lab.network.drops[0] == ("a", "b", "another genesis")
        assert node.network.peers() == []
        assert {channel for channel, _ in stranger.heard} == {Channel.STATUS}
        assert STATUS.decode(stranger.heard[0][1]).genesis == node.store.genesis_hash

    play(script, ("a", "b"))


def test_a_peer_that_never_says_who_it_is_is_left() -> None:
    async def script(lab: Lab) -> None:
        node = lab.start("a")
        silent = Scripted(lab, "b", node.store, status_of(node))
        silent.connected = lambda peer: None  # type: ignore[method-assign]
        await lab.until(lambda: bool(lab.network.drops), 40)
        assert (lab.network.drops[0], lab.cost("a", "b")) == (("a", "b", "no answer in time"), 0)

    play(script, ("a", "b"))


def test_peers_that_say_they_are_far_ahead_silence_nobody() -> None:
    """They answer just enough to be believed again and again; the author tells of its blocks all the same."""

    async def script(lab: Lab) -> None:
        node = lab.start("a", "v0")
        await lab.until(lambda: node.store.best_number >= 2)
        liars = [Scripted(lab, name, node.store, status_of(node, ahead=5_000)) for name in ("x", "y", "z")]
        for liar in liars:
            liar.answer = lambda request: (  # type: ignore[method-assign]
                answer(node.store, request) if request.count == 1 else None
            )
        await lab.until(lambda: node.sync.target >= 5_000)
        height = node.store.best_number
        before = [len(liar.heard) for liar in liars]
        await lab.until(lambda: node.store.best_number >= height + 5)
        assert not node.sync.is_major
        await asyncio.sleep(0.5)
        told = [
            sum(channel == Channel.ANNOUNCES for channel, _ in liar.heard[start:])
            for liar, start in zip(liars, before, strict=True)
        ]
        assert min(told) >= 4  # one may have been on its way before

    play(script, ("a", "x", "y", "z"))


def test_a_greeting_that_was_lost_is_said_again() -> None:
    async def script(lab: Lab) -> None:
        lab.network.weather = replace(lab.network.weather, loss=0.5)
        one, other = lab.start("a"), lab.start("b")
        await lab.until(lambda: (one.network.peers(), other.network.peers()) == (["b"], ["a"]), 60)
        assert lab.network.drops == []

    play(script, ("a", "b"))


def test_more_messages_than_its_share_are_not_even_read() -> None:
    async def script(lab: Lab) -> None:
        node = lab.start("a")
        peer = Scripted(lab, "b", node.store, status_of(node))
        await lab.until(lambda: node.network.peers() == ["b"])
        share = LIMITS[Channel.REQUESTS].burst
        request = BLOCK_REQUEST.encode(BlockRequest(1, FromNumber(0), False, 1, 1))
        for _ in range(2 * share):
            peer.say("a", Channel.REQUESTS, request)
        await asyncio.sleep(0.5)
        answered = sum(channel == Channel.ANSWERS for channel, _ in peer.heard)
        assert share <= answered < share + 10
        assert 0.9 < lab.cost("a", "b") / (Fault.TOO_MANY.cost * (2 * share - answered)) <= 1

    play(script, ("a", "b"))


def test_what_does_not_decode_ends_the_connection_in_the_end_and_for_a_while() -> None:
    async def script(lab: Lab) -> None:
        node = lab.start("a")
        peer = Scripted(lab, "b", node.store, status_of(node))
        await lab.until(lambda: node.network.peers() == ["b"])
        for channel in Channel:
            if channel is not Channel.STATUS:
                for _ in range(3):
                    peer.say("a", channel, b"\xff" * 40)
        await lab.until(lambda: node.network.peers() == [], 5)
        assert lab.network.drops == [("a", "b", "a message that does not decode")]
        await lab.until(lambda: ("a", "b", "banned") in lab.network.drops, 60)
        await lab.until(lambda: node.network.peers() == ["b"], 600)  # half of it is forgiven in 139 s

    play(script, ("a", "b"))


def test_a_message_beyond_the_limit_of_its_channel_ends_the_connection_at_once() -> None:
    async def script(lab: Lab) -> None:
        node = lab.start("a")
        peer = Scripted(lab, "b", node.store, status_of(node))
        await lab.until(lambda: node.network.peers() == ["b"])
        peer.say("a", Channel.VOTES, bytes(LIMITS[Channel.VOTES].size + 1))
        await lab.until(lambda: node.network.peers() == [], 5)
        assert lab.network.drops == [("a", "b", "a message beyond the limit of its channel")]

    play(script, ("a", "b"))
