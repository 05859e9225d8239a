"""The head of the chain as followers are told it, whatever order its two feeds arrive in."""

import random
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

import chain.rpc.v1.head as head_module
from chain.common.notifications import FinalityNotification, ImportNotification
from chain.rpc.v1.head import FINAL_BLOCKS, MAX_PINNED, PIN_AGE, Head
from tests.chain.rpc.conftest import MemoryNode


class Recorder:
    """A follower that checks every event against what it was told before."""

    def __init__(self, head, release=True):
        self.head, self.release = head, release
        self.known, self.lost, self.pins = {}, set(), {}
        self.final = self.best = None
        self.runtimes, self.stopped = [], False

    @property
    def oldest_pin(self):
        return min((since for _, since in self.pins.values()), default=self.head.clock())

    def hold(self, pin):
        self.pins[pin.block] = pin, self.head.clock()
        self.known[pin.block] = pin.header.parent_hash

    def initialized(self, pins, runtime):
        assert [pin.header.number for pin in pins] == list(
            range(pins[0].header.number, pins[0].header.number + len(pins))
        )
        for pin in pins:
            self.hold(pin)
        self.final = self.best = pins[-1].block
        self.runtimes.append(runtime)

    def announced(self, pin, runtime):
        assert pin.block not in self.known
        assert pin.header.parent_hash in self.known
        self.hold(pin)
        self.runtimes.append(runtime)

    def best_changed(self, block):
        assert block in self.known
        assert block not in self.lost
        self.best = block

    def settled(self, final, lost):
        for block in final:
            assert self.known[block] == self.final
            self.final = block
        for block in lost:
            assert block in self.known
            assert block not in self.lost
            self.lost.add(block)
            assert self.known[block] in (*self.lost, *self.ancestors(final[-1]))
        assert self.final in self.ancestors(self.best)
        if self.release:
            for block in list(self.pins):
                if block in self.lost or (block in self.ancestors(self.final) and block != self.final):
                    del self.pins[block]

    def stop(self):
        assert not self.stopped
        self.stopped = True
        self.pins.clear()

    def ancestors(self, block):
        found = []
        while block in self.known:
            found.append(block)
            block = self.known[block]
        return found


class Scene:
    """A node whose notifications are delivered when the test wants."""

    def __init__(self):
        self.node = MemoryNode()
        self.now = 0.0
        self.head = Head(self.node.backend(), lambda: self.now)
        self.head.open()
        self.imports, self.finality = deque(), deque()

    def live(self):
        """Return the finalised block and all above it."""
        found = [self.node.finalized]
        for block in found:
            found.extend(self.node.children(block))
        return found

    def grow(self, parent, is_best, **changes):
        block = self.node.build(parent, {b"salt": bytes(changes.pop("salt", b"x")), **changes})
        if is_best:
            self.node.best = block
        header = self.node.headers[block]
        self.imports.append(ImportNotification(block, header, is_best))
        return block

    def finalize(self, block):
        chain = [block]
        while self.node.headers[chain[0]].parent_hash != self.node.finalized:
            chain.insert(0, self.node.headers[chain[0]].parent_hash)
        before = self.live()
        self.node.finalized = block
        for each in before:
            if (
                each not in chain
                and each not in self.live()
                and each != self.node.headers[chain[0]].parent_hash
            ):
                self.node.forget(each)
        if self.node.best not in self.live():
            self.node.best = self.live()[-1]
        self.finality.append(FinalityNotification(block, self.node.headers[block], tuple(chain)))

    def deliver(self, count=10**6, finality_first=False):
        queues = [(self.imports, self.head.imported), (self.finality, self.head.finalized)]
        for queue, tell in reversed(queues) if finality_first else queues:
            for _ in range(min(count, len(queue))):
                tell(queue.popleft())


@settings(max_examples=80, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(5, 40))
def test_nothing_is_told_before_its_block_in_any_order(rng: random.Random, steps: int) -> None:
    scene = Scene()
    followers = []
    for step in range(steps):
        parent = rng.choice(scene.live()[-4:])
        scene.grow(parent, rng.random() < 0.6, salt=step.to_bytes(2, "big"))
        if rng.random() < 0.3 and len(scene.live()) > 1:
            scene.finalize(rng.choice(scene.live()[1:]))
        if rng.random() < 0.5:
            scene.deliver(rng.randrange(4), rng.random() < 0.5)
        if rng.random() < 0.2:
            followers.append(Recorder(scene.head))
            scene.head.add(followers[-1])
    scene.deliver(finality_first=rng.random() < 0.5)
    for follower in followers:
        assert not follower.stopped
        assert follower.final == scene.node.finalized
        assert follower.best == scene.node.best
        above = [each for each in follower.known if follower.final in follower.ancestors(each)]
        assert sorted(above) == sorted(scene.live())


def test_a_follower_begins_with_the_last_final_blocks() -> None:
    scene = Scene()
    blocks = [scene.node.genesis_hash]
    for _ in range(FINAL_BLOCKS + 5):
        blocks.append(scene.grow(blocks[-1], True))
    scene.finalize(blocks[-3])
    scene.deliver()
    follower = Recorder(scene.head)
    scene.head.add(follower)
    assert list(follower.known) == blocks[-2 - FINAL_BLOCKS :]
    assert (follower.final, follower.best) == (blocks[-3], blocks[-1])


def test_a_block_of_a_lost_fork_answers_while_it_is_held() -> None:
    scene = Scene()
    follower = Recorder(scene.head, release=False)
    scene.head.add(follower)
    genesis = scene.node.genesis_hash
    lost = scene.node.announce(scene.node.build(genesis, {b"key": b"lost"}, (b"\1",)))
    kept = scene.node.announce(scene.node.build(genesis, {b"key": b"kept"}, (b"\2",)))
    for block in (lost, kept):
        scene.imports.append(ImportNotification(block, scene.node.headers[block], True))
    scene.deliver()
    scene.finalize(kept)
    scene.deliver()
    assert (follower.lost, follower.final) == ({lost}, kept)
    assert lost not in scene.node.headers
    pin = follower.pins[lost][0]
    assert (pin.body(), pin.state().get(b"key")) == ([b"\1"], b"lost")
    assert follower.pins[kept][0].state().get(b"key") == b"kept"


def test_a_new_runtime_is_told_with_its_block_only() -> None:
    scene = Scene()
    follower = Recorder(scene.head)
    scene.head.add(follower)
    first = scene.grow(scene.node.genesis_hash, True)
    second = scene.node.build(first, {b":code": b"\x09"})
    scene.imports.append(ImportNotification(second, scene.node.headers[second], True))
    scene.grow(second, True)
    scene.deliver()
    versions = [runtime and runtime["spec"]["specVersion"] for runtime in follower.runtimes]
    assert versions == [7, None, 9, None]


def test_too_many_pins_stop_whoever_keeps_them_longest() -> None:
    scene = Scene()
    careless, careful = Recorder(scene.head, release=False), Recorder(scene.head)
    scene.head.add(careless)
    scene.head.add(careful)
    block = scene.node.genesis_hash
    for count in range(1, MAX_PINNED + 1):
        assert not careless.stopped, count
        scene.now += 1.0
        block = scene.grow(block, True)
        scene.finalize(block)
        scene.deliver()
    assert (careless.stopped, careful.stopped) == (True, False)
    late = Recorder(scene.head)
    scene.head.add(late)
    assert late.final == block


def test_young_pins_are_let_go_too_when_there_is_no_room() -> None:
    scene = Scene()
    followers = [Recorder(scene.head, release=False) for _ in range(2)]
    scene.head.add(followers[0])
    block = scene.node.genesis_hash
    for count in range(MAX_PINNED):
        if count == MAX_PINNED // 2:
            scene.now += PIN_AGE / 2
            scene.head.add(followers[1])
        block = scene.grow(block, True)
        scene.deliver()
        if count < MAX_PINNED // 2:
            scene.finalize(block)
            scene.deliver()
    assert [each.stopped for each in followers] == [True, False]


def test_who_cannot_be_told_everything_is_stopped_at_once(monkeypatch) -> None:
    monkeypatch.setattr(head_module, "MAX_PINNED", 3)
    scene = Scene()
    block = scene.node.genesis_hash
    for _ in range(3):
        block = scene.grow(block, True)
    scene.deliver()
    follower = Recorder(scene.head)
    scene.head.add(follower)
    assert (follower.stopped, follower.known) == (True, {})


def test_lost_notifications_stop_everybody_and_begin_anew() -> None:
    scene = Scene()
    follower = Recorder(scene.head)
    scene.head.add(follower)
    block = scene.grow(scene.node.genesis_hash, True)
    scene.imports.clear()
    scene.head.restart()
    assert follower.stopped
    again = Recorder(scene.head)
    scene.head.add(again)
    assert (again.final, again.best) == (scene.node.genesis_hash, block)


def test_a_chain_that_goes_on_from_a_restored_block_stops_everybody() -> None:
    scene = Scene()
    follower = Recorder(scene.head)
    scene.head.add(follower)
    missing = scene.node.build(scene.node.genesis_hash, {})
    restored = scene.node.build(missing, {})
    scene.node.forget(missing)
    scene.node.finalized = scene.node.best = restored
    block = scene.grow(restored, True)
    scene.deliver()
    assert follower.stopped
    again = Recorder(scene.head)
    scene.head.add(again)
    assert (again.final, again.best) == (restored, block)
