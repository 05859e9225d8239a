"""How fast a block reaches 50 nodes that know eight others each, on links of 20 to 250 ms.

    python -m bench.propagation [--blocks 10] [--json FILE]

Whole nodes in virtual time, one of them the author: announcements, bodies, requests and imports are the real
ones, only execution takes no time. `ms` is from the author's import to everybody else's, over all blocks;
`bytes` is what a node receives for a block on the channels of blocks, frames included. Small blocks are
empty; large ones have a body too long to go with its announcement, which whoever is told of it asks for.
"""

import asyncio
import random
from dataclasses import dataclass, field

from bench.record import finish, parser
from chain.common.notifications import ImportNotification
from chain.network.messages import MAX_PUSHED_BODY, Channel
from chain.node import Node
from runtime.primitives.types import Hash
from tests.chain.network.lab import Lab
from tests.sim.genesis import stash_pair
from tests.sim.loop import VirtualLoop
from tests.sim.sharing import shared_verdicts
from tests.sim.transport import SimNetwork, Weather
from tests.sim.users import submit

NODES = 50
WEATHER = Weather(latency=(0.02, 0.25), jitter=0.1)
FRAME = 4 + 16 + 1
"""bytes around a message on the wire"""
CHANNELS = frozenset({Channel.ANNOUNCES, Channel.REQUESTS, Channel.ANSWERS})


@dataclass
class Seen:
    """When each node had each block, and what that took."""

    times: dict[Hash, list[float]] = field(default_factory=dict)
    size: int = 0

    def follow(self, node: Node, loop: VirtualLoop) -> None:
        """Note the imports of a node."""

        def imported(note: ImportNotification) -> None:
            self.times.setdefault(note.hash, []).append(loop.time())

        node.feed.listen(imported, lambda note: None)


def measure(blocks: int, *, large: bool) -> dict[str, float]:
    """Return how so many blocks spread."""
    loop = VirtualLoop()  # type: ignore[abstract]  # it has what a simulator needs
    seen, names = Seen(), [f"n{number}" for number in range(NODES)]

    def delivered(sender: str, receiver: str, channel: int, message: bytes) -> None:
        if channel in CHANNELS:
            seen.size += len(message) + FRAME

    async def main() -> None:
        lab = Lab(loop, names, [], 1, 0.0)
        lab.network = SimNetwork(loop, random.Random(3), WEATHER)
        lab.network.connect(names)
        nodes = [lab.start(name, *(["v0"] if name == "n0" else [])) for name in names]
        await lab.until(lambda: min(node.store.best_number for node in nodes) >= 3)
        await asyncio.sleep(2)
        for node in nodes:
            seen.follow(node, loop)
        lab.network.on_deliver = delivered
        for _ in range(blocks):
            height = nodes[0].store.best_number
            if large:
                submit(nodes[0], stash_pair("v0"), "System", "remark", bytes(2 * MAX_PUSHED_BODY))
            while nodes[0].store.best_number == height:  # noqa: ASYNC110  virtual time
                await asyncio.sleep(0.1)
        await asyncio.sleep(3)
        for name in names:
            await lab.stop(name)

    with shared_verdicts():
        loop.run(main())
    whole = [times for times in seen.times.values() if len(times) == NODES][:blocks]
    assert len(whole) == blocks, "a block did not reach everybody"
    waits = sorted((each - times[0]) * 1000 for times in whole for each in times[1:])
    return {
        "ms_p50": round(waits[len(waits) // 2]),
        "ms_p90": round(waits[len(waits) * 9 // 10]),
        "ms_max": round(waits[-1]),
        "bytes": round(seen.size / NODES / len(seen.times)),
    }


def main() -> None:
    """Measure and report."""
    flags = parser(__doc__)
    flags.add_argument("--blocks", type=int, default=10, help="of each kind [10]")
    given = flags.parse_args()
    figures = {
        "nodes": NODES,
        "small": measure(given.blocks, large=False),
        "large": measure(given.blocks, large=True),
    }
    finish("propagation", figures, given)


if __name__ == "__main__":
    main()
