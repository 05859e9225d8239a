"""Every attack of hostile peers by name, and the process that makes one.

python -m tests.e2e.sieges '{"attack": "votes", "host": "11.1.0.1", ...}'      prints what it counted, as JSON
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

from runtime.primitives.types import Hash
from tests.e2e import siege_chain as chain
from tests.e2e import siege_peers as peers
from tests.e2e import siege_sync as sync
from tests.e2e import siege_wire as wire
from tests.e2e.enemy import Enemy

SIEGES: dict[str, Callable[[Enemy], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        wire.noise, wire.hang, wire.handshake_flood, wire.strangers, wire.frames, wire.crowd, chain.votes,
        chain.forged_votes, chain.liars, chain.question_flood, chain.deaf, chain.transactions,
        chain.unasked_transactions, peers.eclipse,
    )
}  # fmt: skip
ON_NEWCOMERS: dict[str, Callable[[Enemy], Awaitable[None]]] = {
    each.__name__: each for each in (sync.false_guides, sync.slow_guides)
}
"""Attacks on a node that has no blocks yet, by those it meets first."""
AT_THE_DOOR = ("noise", "hang", "handshake_flood", "strangers")
"""Attacks that nobody has to let in."""
LAND = "11.128.0.0/9"
"""where attackers come from"""
_GROUPS, _NETWORKS = 128, 256


def sources(turn: int, count: int) -> list[str]:
    """Return the addresses of one attack, in as many groups as there are: no two attacks share any.

    An address that is banned, or that came too often, would weaken the attacks after its own.
    """
    places = range(turn * count, (turn + 1) * count)
    return [
        f"11.{128 + at % _GROUPS}.{at // _GROUPS % _NETWORKS}.{1 + at // _GROUPS // _NETWORKS}"
        for at in places
    ]


async def besiege(attack: str, genesis: str, **given: object) -> dict[str, int]:
    """Make one attack; return what it counted."""
    enemy = Enemy(genesis=Hash(bytes.fromhex(genesis.removeprefix("0x"))), **given)  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(enemy.seconds + 30):
            await (SIEGES | ON_NEWCOMERS)[attack](enemy)
    except TimeoutError:
        enemy.counts["stuck"] += 1
    return dict(enemy.counts)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(besiege(**json.loads(sys.argv[1])))))
