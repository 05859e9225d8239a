"""Who says nothing keeps nobody else's blocks from being fetched, as many as they may be."""

import itertools
from dataclasses import replace

from chain.common.block_data import BlockData
from chain.network.messages import BLOCK_ANNOUNCE, BlockAnnounce, BlockRequest, Channel
from runtime.primitives.header import Header
from runtime.primitives.types import Hash
from tests.chain.network.lab import Lab, Scripted, play, status_of
from tests.sim.genesis import SLOT_MS

CROWD = [f"x{number}" for number in range(18)]
_NUMBERS = itertools.count()


class Squatter(Scripted):
    """Announces four blocks for every one it hears of, and gives none of them."""

    count = 0

    def received(self, peer: str, channel: int, message: bytes) -> None:
        """Answer an announcement with others, beside that block and on it."""
        super().received(peer, channel, message)
        if channel == Channel.ANNOUNCES:
            real = BLOCK_ANNOUNCE.decode(message).header
            above = replace(real, parent_hash=real.hash(), number=real.number + 1)
            for header in (real, real, above, above):
                made = BlockAnnounce(_another(header), True, None)
                self.say(peer, Channel.ANNOUNCES, BLOCK_ANNOUNCE.encode(made))
                self.count += 1

    def answer(self, request: BlockRequest) -> list[BlockData] | None:
        """Say nothing."""
        return None


def _another(header: Header) -> Header:
    return replace(header, state_root=Hash(next(_NUMBERS).to_bytes(32, "big")))


def test_a_crowd_that_announces_and_then_is_silent_delays_no_block_of_an_honest_peer() -> None:
    async def script(lab: Lab) -> None:
        author, node = lab.start("a", "v0"), lab.start("b")
        await lab.until(lambda: node.store.finalized_number >= 3)
        crowd = [Squatter(lab, name, author.store, status_of(author, ahead=20)) for name in CROWD]
        until, lags = author.store.best_number + 6, [0]
        while author.store.best_number < until:
            height = author.store.best_number
            await lab.until(lambda height=height: author.store.best_number > height, 5 * SLOT_MS / 1000)  # type: ignore[misc]
            lags.append(author.store.best_number - node.store.best_number)
        assert min(each.count for each in crowd) > 12
        assert max(lags) <= 2, lags

    play(script, ("a", "b", *CROWD), [("a", "b"), *(("b", name) for name in CROWD)])
