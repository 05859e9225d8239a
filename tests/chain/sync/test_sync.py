"""A node gets the chain that others have, from whoever tells the truth."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import takewhile

import pytest

from chain.common.block_data import BlockData, Fields
from chain.common.faults import Fault
from chain.network.blocks import answer
from chain.network.messages import BLOCK_ANNOUNCE, BLOCK_REQUEST, BlockAnnounce, BlockRequest, Channel
from chain.node import Node
from runtime.primitives.header import Header
from runtime.primitives.types import BlockNumber, Hash
from tests.chain.network.lab import Lab, Scripted, grown, play, status_of

LONG = 300
"""blocks"""


def same_chain(*nodes: Node) -> bool:
    """Say whether nodes have the same best and final block."""
    return len({(node.store.best, node.store.finalized) for node in nodes}) == 1


def has(node: Node, other: Node) -> bool:
    """Say whether a node has everything another one has made final, and no more is missing than just came."""
    return node.store.finalized_number >= other.store.best_number - 1 > 0


def old(lab: Lab, name: str, blocks: int = LONG) -> None:
    """Give a node a chain to start with."""
    lab.tables[name] = grown(blocks)[0].copy()


def test_a_late_joiner_gets_three_hundred_blocks_and_their_finality_from_two_peers() -> None:
    requests: Counter[str] = Counter()

    async def script(lab: Lab) -> None:
        old(lab, "a")
        old(lab, "c")
        author, copy, joiner = lab.start("a", "v0"), lab.start("c"), lab.start("b")
        lab.network.on_deliver = lambda sender, receiver, channel, message: (
            requests.update([receiver])
            if (sender, channel) == ("b", Channel.REQUESTS) and BLOCK_REQUEST.decode(message).fields & 2
            else None
        )
        for link in lab.network.links():
            link.latency = 0.5  # seconds, so that both are there before the headers are
        assert (joiner.store.best_number, author.store.finalized_number) == (0, LONG)
        await lab.until(lambda: joiner.sync.is_major, 5)
        assert joiner.sync.target >= LONG
        await lab.until(lambda: has(joiner, author), 30)
        await lab.until(lambda: same_chain(author, copy, joiner), 30)
        assert not joiner.sync.is_major
        assert (lab.cost("b", "a"), lab.cost("b", "c")) == (0, 0)

    play(script, ("a", "b", "c"), seconds=grown(LONG)[1])
    assert min(requests["a"], requests["c"]) >= 3  # of ten pieces


def test_who_was_away_gets_what_was_missed_and_the_forks_that_others_have() -> None:
    """Two validators grow a fork each while they are apart; neither can finalise alone."""

    async def script(lab: Lab) -> None:
        one, other = lab.start("a", "v0"), lab.start("b", "v1")
        await lab.until(lambda: min(node.store.finalized_number for node in (one, other)) >= 2)
        lab.network.partition(["a"], ["b"])
        await lab.until(lambda: min(node.store.best_number for node in (one, other)) >= 12)
        assert one.store.best != other.store.best
        final = one.store.finalized_number
        lab.network.partition()
        await lab.until(lambda: min(node.store.finalized_number for node in (one, other)) >= final + 8, 60)
        chains = {tuple(map(node.store.hash_at, range(final + 9))) for node in (one, other)}
        assert len(chains) == 1
        assert (lab.cost("a", "b"), lab.cost("b", "a")) < (1 << 20, 1 << 20)

    play(script, ("a", "b"), validators=2)


def test_a_node_that_was_away_over_changes_of_voters_finalises_by_justifications() -> None:
    """Every session of eight blocks has a set of voters; who was away has no votes of those sets."""

    async def script(lab: Lab) -> None:
        nodes = {name: lab.start(name, f"v{index}") for index, name in enumerate("abcd")}
        await lab.until(lambda: nodes["d"].store.finalized_number >= 3)
        await lab.stop("d")
        await lab.until(lambda: nodes["a"].store.finalized_number >= 40, 200)
        back = lab.start("d", "v3")
        await lab.until(lambda: back.store.finalized_number >= 40, 15)
        standing = nodes["a"].voter.standing()
        await lab.until(lambda: back.voter.standing() == nodes["a"].voter.standing(), 30)
        assert standing is not None

    play(script, "abcd", validators=4)


class Liar(Scripted):
    """Has the chain of a node, and spoils what it says of it."""

    kind = ""

    def answer(self, request: BlockRequest) -> list[BlockData] | None:
        """Return a spoiled answer."""
        blocks = answer(self.store, request)
        return SPOILED[self.kind](blocks, request)


def wrong_bodies(blocks: list[BlockData], request: BlockRequest) -> list[BlockData]:
    """Add an extrinsic to every body."""
    return [replace(each, body=[*each.body, b"\x04\x00"]) if each.body else each for each in blocks]


def out_of_order(blocks: list[BlockData], request: BlockRequest) -> list[BlockData]:
    """Swap the ends."""
    return [*blocks[-1:], *blocks[1:-1], *blocks[:1]] if len(blocks) > 1 else blocks


def endless(blocks: list[BlockData], request: BlockRequest) -> list[BlockData]:
    """Go on and on: headers that link, and are nobody's."""
    made: list[BlockData] = []
    above = blocks[0].header
    for _ in range(request.count):
        header = Header(above.hash(), above.number + 1, above.state_root, above.extrinsics_root, above.digest)
        made.append(BlockData(header, [], None))
        above = header
    return made


def empty(blocks: list[BlockData], request: BlockRequest) -> list[BlockData]:
    """Have nothing after all."""
    return []


def silent(blocks: list[BlockData], request: BlockRequest) -> None:
    """Say nothing."""


def forged_state(blocks: list[BlockData], request: BlockRequest) -> list[BlockData]:
    """Give every header another state root: links and bodies fit, the seals do not."""
    headers = [replace(each.header, state_root=Hash(bytes(32))) for each in blocks]
    return [replace(each, header=header) for each, header in zip(blocks, headers, strict=True)]


SPOILED = {
    "wrong bodies": wrong_bodies, "out of order": out_of_order, "endless": endless, "empty": empty,
    "silent": silent, "forged state": forged_state,
}  # fmt: skip
COSTS = {
    "wrong bodies": Fault.WRONG_BLOCKS, "out of order": Fault.WRONG_BLOCKS, "endless": Fault.WRONG_BLOCKS,
    "empty": Fault.USELESS, "silent": Fault.TIMEOUT, "forged state": Fault.WRONG_BLOCKS,
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILED)
def test_a_liar_pays_and_others_are_asked(kind: str) -> None:
    """It is there first and claims the most, so that it is asked first."""

    async def script(lab: Lab) -> None:
        old(lab, "a", 60)
        lab.network.partition(["b", "liar"], ["a"])
        author = lab.start("a", "v0")
        joiner = lab.start("b")
        liar = Liar(lab, "liar", author.store, status_of(author))
        liar.kind = kind
        await lab.until(lambda: lab.cost("b", "liar") > 0, 30)
        assert 0.5 < lab.cost("b", "liar") / COSTS[kind].cost <= 4
        assert joiner.store.best_number == 0
        lab.network.partition()
        await lab.until(lambda: has(joiner, author), 60)
        assert lab.cost("b", "a") == 0

    play(script, ("a", "b", "liar"), seconds=grown(60)[1])


class Pruning(Scripted):
    """Has had every block from #15 on when it came, and forgotten the bodies of those below #40 since."""

    def answer(self, request: BlockRequest) -> list[BlockData] | None:
        blocks = super().answer(request) or []
        if Fields.BODY in Fields(request.fields):
            return list(takewhile(lambda each: each.header.number >= 40, blocks))
        return blocks


def test_who_has_let_blocks_go_since_it_came_is_not_blamed_and_not_asked_for_them_again() -> None:
    young = grown(20)[0]

    async def script(lab: Lab) -> None:
        old(lab, "a", 60)
        lab.tables["b"] = young.copy()
        lab.network.partition(["b", "m"], ["a"])
        author = lab.start("a", "v0")
        status = replace(status_of(author), first_number=BlockNumber(15))
        peer = Pruning(lab, "m", author.store, status)
        joiner = lab.start("b")
        await lab.until(lambda: bool(peer.requests))
        await asyncio.sleep(20)
        assert sum(Fields.BODY in Fields(each.fields) for each in peer.requests) < 6
        lab.network.partition()
        await lab.until(lambda: has(joiner, author), 60)
        assert joiner.network.faults == {}

    play(script, ("a", "b", "m"), seconds=grown(60)[1])


def test_who_claims_blocks_that_do_not_exist_neither_holds_up_sync_nor_authoring() -> None:
    async def script(lab: Lab) -> None:
        author = lab.start("a", "v0")
        await lab.until(lambda: author.store.finalized_number >= 3)
        Scripted(lab, "liar", author.store, status_of(author, ahead=100_000))
        await lab.until(lambda: author.sync.target >= 100_000, 10)
        assert not author.sync.is_major
        before = author.store.best_number
        await lab.until(lambda: author.store.finalized_number >= before + 10, 25)
        assert lab.cost("a", "liar") > 0
        assert author.sync.target == author.store.best_number

    play(script, ("a", "liar"))


def test_a_chain_that_stands_still_is_not_said_to_be_behind_for_long_by_who_claims_another() -> None:
    """The best block is old, so what peers say counts; who does not keep it is doubted until it does."""

    async def script(lab: Lab) -> None:
        old(lab, "a", 60)
        node = lab.start("a")
        liar = Scripted(lab, "liar", node.store, status_of(node, ahead=100_000))
        liar.answer = lambda request: (  # type: ignore[method-assign]
            answer(node.store, request) if request.count == 1 else None  # well enough to be asked again
        )
        await lab.until(lambda: node.sync.is_major, 10)
        await lab.until(lambda: not node.sync.is_major, 15)
        asked = len(liar.requests)
        await lab.until(lambda: len(liar.requests) > asked + 4 or node.sync.is_major, 60)
        assert not node.sync.is_major

    play(script, ("a", "liar"), seconds=grown(60)[1] + 300)


def test_a_block_that_breaks_the_rules_ends_the_connection_and_its_children_are_refused() -> None:
    async def script(lab: Lab) -> None:
        author, node = lab.start("a", "v0"), lab.start("b")
        await lab.until(lambda: node.store.finalized_number >= 2)
        liars = [Scripted(lab, name, author.store, status_of(author)) for name in ("x", "y")]
        await lab.until(lambda: sorted(node.network.peers()) == ["a", "x", "y"])
        parent = node.store.header(node.store.finalized)
        assert parent is not None
        bad = replace(parent, parent_hash=parent.hash(), number=parent.number + 1)  # the seal is of another
        body = node.store.body(parent.hash())
        liars[0].say("b", Channel.ANNOUNCES, BLOCK_ANNOUNCE.encode(BlockAnnounce(bad, True, body)))
        await lab.until(lambda: bool(lab.network.drops), 5)
        assert lab.network.drops == [("b", "x", Fault.BAD_BLOCK)]
        child = replace(bad, parent_hash=bad.hash(), number=bad.number + 1)
        liars[1].say("b", Channel.ANNOUNCES, BLOCK_ANNOUNCE.encode(BlockAnnounce(child, True, None)))
        await lab.until(lambda: ("b", "y", "a block that breaks the rules") in lab.network.drops, 5)
        assert liars[1].requests == []
        assert node.network.peers() == ["a"]

    play(script, ("a", "b", "x", "y"), [("a", "b"), ("b", "x"), ("b", "y")])


def test_an_early_block_waits_for_its_slot_and_one_far_ahead_is_refused() -> None:
    async def script(lab: Lab) -> None:
        node, author = lab.start("b"), lab.start("a", "v0")
        lab.clocks["b"].skew_ms = -1_500
        await lab.until(lambda: node.store.finalized_number >= 5, 60)
        assert lab.cost("b", "a") == 0
        lab.clocks["b"].skew_ms = -9_000
        height = author.store.best_number
        await lab.until(lambda: author.store.best_number >= height + 2, 10)
        assert node.store.best_number <= height + 1
        assert lab.cost("b", "a") >= 0.9 * Fault.FUTURE_BLOCK.cost
        lab.clocks["b"].skew_ms = 0
        await lab.until(lambda: has(node, author), 60)

    play(script, ("a", "b"))
