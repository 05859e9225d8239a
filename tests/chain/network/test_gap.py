"""The blocks below a restored one, fetched by a node at work, whatever its peers send."""

from dataclasses import replace

import pytest

from chain.common.block_data import BlockData
from chain.common.faults import Fault
from chain.network.messages import BlockRequest, Channel, FromHash
from chain.storage.store import ChainStore
from runtime.primitives.types import BlockNumber
from tests.chain.network.lab import Lab, Scripted, grown, play, status_of
from tests.chain.network.test_states import BLOCKS, TARGET, header_at, holders
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Life


def restored(lab: Lab, source: ChainStore, number: int = TARGET) -> Tables:
    """Return the database of a node that stands at a block whose state it was given."""
    tables, header = Tables(), header_at(source, number)
    store = ChainStore.on(MemoryDatabase(tables, Life()), lab.spec.state())
    found = source.state_at(header.hash()).prove_range(b"", 1 << 20, None)
    store.restore(header).put(b"", found.entries, None)
    store.finish_restoration(source.justification(header.hash()) or b"")
    return tables


class Liar(Scripted):
    """A peer that gives wrong blocks to whoever asks downwards by hash."""

    def __init__(self, lab: Lab, store: ChainStore, kind: str) -> None:
        super().__init__(lab, "l", store, status_of(lab.nodes["n"]))
        final = header_at(store, store.finalized_number)
        best = header_at(store, store.best_number)
        self.status = replace(
            self.status, best_hash=best.hash(), best_number=best.number, final_hash=final.hash(),
            final_number=final.number, first_number=BlockNumber(0),
        )  # fmt: skip
        self._kind = kind

    def answer(self, request: BlockRequest) -> list[BlockData] | None:
        blocks = super().answer(request)
        if not (request.descending and isinstance(request.start, FromHash) and blocks):
            return blocks
        match self._kind:
            case "another body":
                return [replace(blocks[0], body=[b"lie"]), *blocks[1:]]
            case "another block":
                return blocks[1:]
            case "a hole":
                return [*blocks[:1], *blocks[2:]]
            case "no body":
                return [replace(each, body=None) for each in blocks]
            case "nothing":
                return []
        return None


@pytest.mark.parametrize("kind", ["another body", "another block", "a hole", "no body", "nothing", "silence"])
def test_a_gap_is_filled_whatever_one_of_two_peers_sends(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.sync.gap.MAX_BLOCKS", 3)

    async def script(lab: Lab) -> None:
        tables = grown(BLOCKS)[0]
        source = ChainStore.on(MemoryDatabase(tables.copy(), Life()), lab.spec.state())
        lab.tables["n"] = restored(lab, source)
        store = lab.start("n").store
        liar = Liar(lab, source, kind)
        await lab.until(lambda: any(isinstance(each.start, FromHash) for each in liar.requests))
        holders(lab, "p")  # the honest one comes later
        await lab.until(lambda: store.gap.missing is None)
        for number in range(1, TARGET + 1):
            block = header_at(source, number).hash()
            assert store.hash_at(number) == block
            assert store.body(block) == source.body(block)
        least = {"nothing": 0, "silence": Fault.TIMEOUT.cost}.get(kind, Fault.WRONG_BLOCKS.cost)
        assert least // 2 <= lab.cost("n", "l")
        assert lab.cost("n", "p") == 0

    play(script, ("p", "l", "n"), [("n", "p"), ("n", "l")], seconds=grown(BLOCKS)[1])


def test_a_kill_in_a_gap_costs_nothing_that_was_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.sync.gap.MAX_BLOCKS", 1)

    async def script(lab: Lab) -> None:
        source = holders(lab, "p").store
        asked: list[int] = []

        def note(sender: str, receiver: str, channel: int, message: bytes) -> None:
            asked.append(channel)

        lab.network.on_deliver = note
        lab.tables["n"] = restored(lab, source)

        async def live_until(left: int) -> None:
            store = lab.start("n").store
            await lab.until(lambda: store.gap.missing is not None and store.gap.missing[1] <= left)
            await lab.stop("n")

        for left in (4, 3, 2):
            await live_until(left)
        before = asked.count(Channel.REQUESTS)
        store = lab.start("n").store
        await lab.until(lambda: store.gap.missing is None)
        assert asked.count(Channel.REQUESTS) - before <= TARGET
        assert all(
            store.body(header_at(source, number).hash()) is not None for number in range(1, TARGET + 1)
        )

    play(script, ("p", "n"), seconds=grown(BLOCKS)[1])


def test_nobody_is_asked_for_blocks_it_says_it_has_not_got() -> None:
    """Two restored nodes fill their gaps from the one archive and are never blamed for their own."""

    async def script(lab: Lab) -> None:
        source = holders(lab, "p").store
        for name in "mn":
            lab.tables[name] = restored(lab, source)
        stores = [lab.start(name).store for name in "mn"]
        assert [store.first_number for store in (source, *stores)] == [0, TARGET + 1, TARGET + 1]
        empty = lab.start("e").store
        await lab.until(lambda: empty.finalized_number >= BLOCKS)
        await lab.until(lambda: all(store.gap.missing is None for store in stores))
        assert [store.first_number for store in stores] == [0, 0]
        assert {lab.cost(one, other) for one in "emn" for other in "pmne" if one != other} == {0}

    play(script, ("p", "m", "n", "e"), seconds=grown(BLOCKS)[1])


def test_peers_whose_gap_is_filled_meanwhile_are_asked_again() -> None:
    """Nobody says that its gap is filled: who has been connected since before finds out."""

    async def script(lab: Lab) -> None:
        source = ChainStore.on(MemoryDatabase(grown(BLOCKS)[0].copy(), Life()), lab.spec.state())
        for name in "mn":
            lab.tables[name] = restored(lab, source)
        gapped, waiting, empty = (lab.start(name) for name in "mne")
        await lab.until(lambda: len(gapped.network.peers()) == 2)
        assert {node.network.statuses()["m"].first_number for node in (waiting, empty)} == {TARGET + 1}
        holders(lab, "p")
        await lab.until(lambda: gapped.store.gap.missing is None)
        await lab.until(lambda: waiting.store.gap.missing is None)
        await lab.until(lambda: empty.store.best_number >= TARGET)
        assert (lab.cost("n", "m"), lab.cost("e", "m")) == (0, 0)

    play(script, ("p", "m", "n", "e"), [("p", "m"), ("m", "n"), ("m", "e")], seconds=grown(BLOCKS)[1])


def test_a_node_says_once_that_its_peers_lack_what_it_needs(caplog: pytest.LogCaptureFixture) -> None:
    async def script(lab: Lab) -> None:
        source = holders(lab, "p").store
        gapped = Scripted(lab, "l", source, status_of(lab.nodes["p"]))
        gapped.status = replace(gapped.status, best_number=BlockNumber(50), first_number=BlockNumber(20))
        lab.start("e")
        await lab.until(lambda: "None of 1 peers keeps the blocks from #1 on" in caplog.text)
        assert not gapped.requests
        assert caplog.text.count("keeps the blocks") == 1

    play(script, ("p", "l", "e"), [("l", "e")], seconds=grown(BLOCKS)[1])
