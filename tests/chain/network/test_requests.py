"""Answers that nobody asked for are not even read."""

import asyncio

import pytest

from chain.common.faults import Fault
from chain.network.messages import Channel
from tests.chain.network.lab import Lab, Scripted, play, status_of

ANSWERS = (Channel.ANSWERS, Channel.STATE_ANSWERS, Channel.WARP_ANSWERS, Channel.TRANSACTIONS)
GARBAGE = b"\xff" * 1000


@pytest.mark.parametrize("channel", ANSWERS)
def test_an_answer_that_nobody_asked_for_is_not_decoded(channel: Channel) -> None:
    async def script(lab: Lab) -> None:
        node = lab.start("a")
        peer = Scripted(lab, "x", node.store, status_of(node))
        await lab.until(lambda: node.network.peers() == ["x"])
        peer.say("a", channel, (7).to_bytes(8, "little") + GARBAGE)
        await asyncio.sleep(1)
        assert node.network.faults == {Fault.NOT_ASKED: 1}

    play(script, ("a", "x"))
