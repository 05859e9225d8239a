"""Transactions between nodes: told by id, fetched once from whoever has them, paid for by whoever lies."""

import asyncio
from collections.abc import Callable, Iterable

from chain.common.faults import Fault
from chain.network.messages import (
    ID_SIZE,
    LIMITS,
    MAX_IDS,
    MAX_TRANSACTIONS,
    TRANSACTION_IDS,
    TRANSACTION_REQUEST,
    TRANSACTIONS,
    Channel,
    TransactionIds,
    TransactionRequest,
    Transactions,
)
from chain.network.transactions import ALL_GIVEN, CHECKED, GIVEN, MAX_BATCH, PENALTY
from chain.network.wanted import PATIENCE, REST
from chain.node import Node
from runtime.primitives.hashing import blake2_256
from tests.chain.network.lab import Lab, Scripted, play, status_of
from tests.sim.genesis import stash_pair
from tests.sim.users import signed, submit


def id_of(extrinsic: bytes) -> bytes:
    return blake2_256(extrinsic)[:ID_SIZE]


class Teller(Scripted):
    """A peer that announces transactions and answers requests for them."""

    def __init__(self, lab: Lab, name: str, node: Node) -> None:
        super().__init__(lab, name, node.store, status_of(node))
        self.bodies: dict[bytes, bytes] = {}
        self.asked: list[list[bytes]] = []
        self.told: list[bytes] = []
        self.given: list[bytes] = []
        self.reply: Callable[[list[bytes]], list[bytes] | None] = self.honest

    def honest(self, ids: list[bytes]) -> list[bytes] | None:
        """Return what there is."""
        return [self.bodies[each] for each in ids if each in self.bodies]

    def announce(self, extrinsics: Iterable[bytes]) -> None:
        """Say that these are here."""
        self.bodies |= {id_of(each): each for each in extrinsics}
        self.tell(list(map(id_of, extrinsics)))

    def tell(self, ids: list[bytes]) -> None:
        """Announce ids, whatever is behind them."""
        for start in range(0, len(ids), MAX_IDS):
            message = TRANSACTION_IDS.encode(TransactionIds(ids[start : start + MAX_IDS]))
            self.say("a", Channel.TRANSACTION_IDS, message)

    def ask(self, *ids: bytes) -> None:
        """Ask for transactions."""
        self.say("a", Channel.TRANSACTION_REQUESTS, TRANSACTION_REQUEST.encode(TransactionRequest(list(ids))))

    def give(self, *extrinsics: bytes) -> None:
        """Send transactions."""
        self.say("a", Channel.TRANSACTIONS, TRANSACTIONS.encode(Transactions(list(extrinsics))))

    def received(self, peer: str, channel: int, message: bytes) -> None:
        """Answer a request for transactions."""
        super().received(peer, channel, message)
        if channel == Channel.TRANSACTION_IDS:
            self.told += TRANSACTION_IDS.decode(message).ids
        elif channel == Channel.TRANSACTIONS:
            self.given += TRANSACTIONS.decode(message).extrinsics
        elif channel == Channel.TRANSACTION_REQUESTS:
            self.asked.append(TRANSACTION_REQUEST.decode(message).ids)
            found = self.reply(self.asked[-1])
            if found is not None:
                self.give(*found)


def remark(node: Node, text: bytes = b"hello", who: str = "v0") -> bytes:
    return signed(node, stash_pair(who), "System", "remark", text)


def forged(node: Node) -> bytes:
    """Return a transaction whose signature is of something else."""
    broken = bytearray(remark(node))
    broken[-1] ^= 1
    return bytes(broken)


async def meet(lab: Lab, *names: str) -> tuple[Node, list[Teller]]:
    """Start a node without keys and peers of it that are none."""
    node = lab.start("a")
    tellers = [Teller(lab, name, node) for name in names]
    await lab.until(lambda: sorted(node.network.peers()) == sorted(names))
    return node, tellers


def test_a_transaction_submitted_at_one_node_gets_into_another_s_block() -> None:
    async def script(lab: Lab) -> None:
        author, between, wallet = lab.start("a", "v0"), lab.start("b"), lab.start("c")
        await lab.until(lambda: wallet.store.finalized_number >= 1)
        extrinsic = remark(wallet)
        wallet.submit(extrinsic)
        await lab.until(lambda: between.pool.ready_count == 1, 1)
        height = author.store.best_number
        await lab.until(lambda: wallet.store.finalized_number >= height + 2, 10)
        blocks = [wallet.store.hash_at(number) for number in range(1, wallet.store.best_number + 1)]
        assert sum(extrinsic in (wallet.store.body(block) or []) for block in blocks if block) == 1
        assert [node.pool.ready_count for node in lab.nodes.values()] == [0, 0, 0]

    play(script, ("a", "b", "c"), (("a", "b"), ("b", "c")))


def test_who_joins_is_told_of_all_that_waits_as_fast_as_it_may_ask() -> None:
    async def script(lab: Lab) -> None:
        wallet = lab.start("a")
        for number in range(2_000):
            submit(wallet, stash_pair(f"v{number % 10}"), "System", "remark", number.to_bytes(2, "little"))
        late = lab.start("b")
        await lab.until(lambda: late.pool.ready_count > 0, 10)
        assert 0 < late.pool.ready_count <= MAX_IDS
        await lab.until(lambda: late.pool.ready() == wallet.pool.ready(), 10)
        assert (lab.cost("a", "b"), lab.cost("b", "a")) == (0, 0)

    play(script, ("a", "b"), validators=10)


def test_a_body_is_fetched_from_one_peer_and_told_to_those_who_lack_it() -> None:
    async def script(lab: Lab) -> None:
        node, (one, other, third) = await meet(lab, "x", "y", "z")
        extrinsic = remark(node)
        one.announce([extrinsic])
        other.announce([extrinsic])
        await lab.until(lambda: node.pool.ready() == [extrinsic], 5)
        await lab.until(lambda: third.told == [id_of(extrinsic)], 5)
        assert (one.asked + other.asked, one.told, other.told) == ([[id_of(extrinsic)]], [], [])
        third.ask(id_of(extrinsic), bytes(ID_SIZE))
        await lab.until(lambda: third.given == [extrinsic], 5)
        third.announce([extrinsic])  # it is in the pool: nobody asks for it again
        await asyncio.sleep(1)
        assert (third.asked, node.pool.counters.validations) == ([], 1)
        assert [lab.cost("a", name) for name in "xyz"] == [0, 0, 0]

    play(script, ("a", "x", "y", "z"))


def test_another_peer_is_asked_where_one_is_silent_and_that_one_rests() -> None:
    async def script(lab: Lab) -> None:
        node, (silent, other) = await meet(lab, "x", "y")
        silent.reply = lambda ids: None
        first, second, third = (remark(node, b"", f"v{number}") for number in range(3))
        for teller in (silent, other):
            teller.announce([first])
            await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await lab.until(lambda: node.pool.ready() == [first], PATIENCE + 2)
        assert 0.9 < lab.cost("a", "x") / Fault.TIMEOUT.cost <= 1
        for teller in (silent, other):  # it is asked nothing now, so nothing has to wait for it
            teller.announce([second])
            await asyncio.sleep(0.1)
        await lab.until(lambda: node.pool.ready_count == 2, 1)
        assert len(silent.asked) == 1
        silent.give(first)  # late, which is no fault, and it is asked again
        silent.reply = silent.honest
        silent.announce([third])
        await lab.until(lambda: node.pool.ready_count == 3, 1)
        assert asyncio.get_running_loop().time() - began < REST
        assert lab.cost("a", "x") <= Fault.TIMEOUT.cost
        assert lab.cost("a", "y") == 0

    play(script, ("a", "x", "y"), validators=3)


def test_another_peer_is_asked_where_one_leaves_or_has_it_no_more() -> None:
    async def script(lab: Lab) -> None:
        node, (leaves, lacks, other) = await meet(lab, "x", "y", "z")
        leaves.reply, lacks.reply = lambda ids: None, lambda ids: []
        extrinsic = remark(node)
        for teller in (leaves, lacks, other):
            teller.announce([extrinsic])
            await asyncio.sleep(0.1)
        node.transport.drop("x", "gone")
        await lab.until(lambda: node.pool.ready() == [extrinsic], PATIENCE - 1)
        assert 0.9 < lab.cost("a", "y") / Fault.USELESS.cost <= 1
        assert lab.cost("a", "z") == 0

    play(script, ("a", "x", "y", "z"))


def test_what_did_not_fit_is_asked_for_again() -> None:
    async def script(lab: Lab) -> None:
        node, (teller,) = await meet(lab, "x")
        many = [remark(node, bytes([number]), f"v{number}") for number in range(2)]
        teller.reply = lambda ids: [teller.bodies[ids[0]]]
        teller.announce(many)
        await lab.until(lambda: node.pool.ready_count == 2, 2)
        assert teller.asked == [list(map(id_of, many)), [id_of(many[1])]]
        assert lab.cost("a", "x") == 0

    play(script, ("a", "x"), validators=2)


def test_who_asks_is_given_what_fits_and_its_share() -> None:
    async def script(lab: Lab) -> None:
        node, (greedy,) = await meet(lab, "x")
        large = [remark(node, bytes(400_000), "v0")]
        node.submit(large[0])
        large += [remark(node, bytes([number]) * 400_000, "v0") for number in (1,)]
        node.submit(large[1])
        large.append(remark(node, b"\2" * 400_000, "v0"))
        node.submit(large[2])
        greedy.ask(*map(id_of, large))
        await lab.until(lambda: bool(greedy.given), 5)
        assert greedy.given == large[:2]
        assert sum(map(len, greedy.given)) <= MAX_BATCH
        for _ in range(100):
            greedy.ask(*map(id_of, large))
        await asyncio.sleep(0.5)
        size = sum(map(len, greedy.given))
        assert GIVEN.burst <= size < GIVEN.burst + 4 * MAX_BATCH

    play(script, ("a", "x"))


def test_a_crowd_that_asks_is_given_no_more_than_its_share_in_all() -> None:
    async def script(lab: Lab) -> None:
        node, crowd = await meet(lab, *"wxyz")
        large = []
        for number in range(2):
            large.append(remark(node, bytes([number]) * 400_000))
            node.submit(large[-1])
        for peer in crowd:
            for _ in range(30):
                peer.ask(*map(id_of, large))
        await asyncio.sleep(0.5)
        size = sum(len(each) for peer in crowd for each in peer.given)
        assert 4 * GIVEN.burst > ALL_GIVEN.burst + 6 * MAX_BATCH
        assert ALL_GIVEN.burst <= size < ALL_GIVEN.burst + 6 * MAX_BATCH

    play(script, tuple("awxyz"))


def test_a_body_nobody_asked_for_costs_and_is_not_looked_at() -> None:
    async def script(lab: Lab) -> None:
        node, (teller,) = await meet(lab, "x")
        good = remark(node)
        teller.give(good)
        await asyncio.sleep(0.5)
        assert (node.pool.counters.validations, node.pool.ready()) == (0, [])
        assert 0.9 < lab.cost("a", "x") / Fault.NOT_ASKED.cost <= 1
        teller.give()
        await asyncio.sleep(0.5)
        assert 1.9 < lab.cost("a", "x") / Fault.NOT_ASKED.cost <= 2
        teller.reply = lambda ids: [good, b"stranger", good]  # what was asked for is taken all the same
        teller.announce([good])
        await lab.until(lambda: node.pool.ready() == [good], 1)
        assert 2.9 < lab.cost("a", "x") / Fault.NOT_ASKED.cost <= 3

    play(script, ("a", "x"))


def test_a_bad_transaction_costs_its_sender_and_goes_no_further() -> None:
    async def script(lab: Lab) -> None:
        node, other = lab.start("a"), lab.start("c")
        peer = Teller(lab, "x", node)
        await lab.until(lambda: sorted(node.network.peers()) == ["c", "x"])
        bad, good = forged(node), remark(node)
        peer.announce([bad, b"", good])
        await lab.until(lambda: other.pool.ready() == [good], 5)
        assert 1.9 < lab.cost("a", "x") / Fault.BAD_TRANSACTION.cost <= 2
        assert lab.cost("c", "a") == 0
        checked = node.pool.counters.validations
        peer.tell([id_of(bad)])  # once is enough
        await asyncio.sleep(1)
        assert (node.pool.counters.validations, len(peer.asked)) == (checked, 1)

    play(script, ("a", "x", "c"), (("a", "x"), ("a", "c")))


def test_a_transaction_of_the_past_costs_little() -> None:
    """A peer that is a block behind has some; the same one again and again is not even asked for."""

    async def script(lab: Lab) -> None:
        author = lab.start("a", "v0")
        await lab.until(lambda: author.store.best_number >= 1)
        old = remark(author)
        author.submit(old)
        await lab.until(lambda: author.pool.ready_count == 0, 10)
        await lab.until(lambda: author.store.finalized_number >= 3, 20)
        lab.nodes["a"].transactions._met.clear()  # as after a minute of many others
        peer = Teller(lab, "x", author)
        await lab.until(lambda: author.network.peers() == ["x"])
        peer.announce([old])
        await lab.until(lambda: lab.cost("a", "x") > 0, 5)
        assert 0.9 < lab.cost("a", "x") / Fault.STALE_TRANSACTION.cost <= 1
        assert Fault.STALE_TRANSACTION.cost * 5 < Fault.BAD_TRANSACTION.cost

    play(script, ("a", "x"))


def test_a_flood_of_bad_transactions_is_cut_short_and_ends_the_connection() -> None:
    """A signature is checked for each: no peer may have this node do nothing else."""

    async def script(lab: Lab) -> None:
        node, (peer,) = await meet(lab, "x")
        count = iter(range(1 << 20))
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(600):
            peer.announce([next(count).to_bytes(8, "little") for _ in range(4 * MAX_TRANSACTIONS)])
            while node.network.peers():
                peer.announce([next(count).to_bytes(8, "little") for _ in range(100)])
                await asyncio.sleep(0.5)
        passed = asyncio.get_running_loop().time() - began
        checked = node.pool.counters.validations
        most = (CHECKED.burst + CHECKED.rate * (passed + 1)) / PENALTY + 8 * MAX_TRANSACTIONS
        assert node.pool._limits.ready_count < checked <= most, "an honest peer's pool is no flood"
        assert lab.network.drops == [("a", "x", Fault.BAD_TRANSACTION)]

    play(script, ("a", "x"))


def test_announcements_without_end_take_neither_memory_nor_place() -> None:
    """Ids with nothing behind them are bounded per peer, and keep nothing waiting that others announce."""

    async def script(lab: Lab) -> None:
        node, (liar, honest) = await meet(lab, "x", "y")
        liar.reply = lambda ids: None
        made = iter(range(1 << 20))
        for _ in range(40):
            liar.tell([next(made).to_bytes(ID_SIZE, "big") for _ in range(MAX_IDS)])
        await asyncio.sleep(0.5)
        wanted = node.transactions._wanted
        assert len(wanted) <= 4096 + 4 * MAX_TRANSACTIONS
        assert lab.cost("a", "x") >= 30 * Fault.TOO_MANY.cost
        extrinsic = remark(node)
        honest.announce([extrinsic])
        await lab.until(lambda: node.pool.ready() == [extrinsic], 1)
        node.transport.drop("x", "gone")
        await lab.until(lambda: len(wanted) == 0, 5)

    play(script, ("a", "x", "y"))


def test_more_announcements_than_the_share_are_not_read() -> None:
    async def script(lab: Lab) -> None:
        _, (peer,) = await meet(lab, "x")
        burst = LIMITS[Channel.TRANSACTION_IDS].burst
        for _ in range(burst + 100):
            peer.tell([bytes(ID_SIZE)])
        await asyncio.sleep(0.5)
        assert lab.cost("a", "x") >= 0.9 * 70 * Fault.TOO_MANY.cost
        assert len(peer.asked) == 1

    play(script, ("a", "x"))


def test_a_crowd_that_sends_forged_ones_is_held_to_what_one_peer_may_and_honest_ones_go_first() -> None:
    async def script(lab: Lab) -> None:
        node, (honest, *liars) = await meet(lab, *names[1:])
        began, made = asyncio.get_running_loop().time(), iter(range(1 << 20))

        def flood() -> None:
            for liar in liars:
                liar.announce([next(made).to_bytes(8, "little") for _ in range(2 * MAX_TRANSACTIONS)])

        for _ in range(2):
            flood()
            await asyncio.sleep(0.5)
        seconds = asyncio.get_running_loop().time() - began
        most = CHECKED.burst + round(CHECKED.rate * (seconds + 1))
        assert CHECKED.burst / 2 < node.pool.counters.validations <= most < next(made)
        flood()
        extrinsic = remark(node)
        honest.announce([extrinsic])
        await lab.until(lambda: node.pool.ready() == [extrinsic], 0.5)

    names = ("a", "y", *(f"x{number}" for number in range(16)))
    play(script, names, [("a", name) for name in names[1:]])


def test_ids_that_nobody_shows_are_remembered_of_nobody() -> None:
    async def script(lab: Lab) -> None:
        node, (liar, honest) = await meet(lab, "x", "y")
        liar.reply = lambda ids: []
        liar.tell([number.to_bytes(ID_SIZE, "big") for number in range(MAX_IDS)])
        await asyncio.sleep(5)
        liar.reply, extrinsic = liar.honest, remark(node)
        honest.announce([extrinsic])
        liar.announce([extrinsic])
        await lab.until(lambda: node.pool.ready() == [extrinsic], 5)
        await asyncio.sleep(1)
        assert [len(node.transactions._peers[name].known) for name in "xy"] == [1, 1]
        assert (liar.told, honest.told) == ([], [])

    play(script, ("a", "x", "y"))
