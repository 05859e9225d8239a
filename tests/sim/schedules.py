"""Schedules written by hand: each is the end of some broken node, and the real one passes them all."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from chain.consensus.grandpa.messages import GOSSIP_MESSAGE, CommitMessage
from chain.consensus.guard import GuardError
from chain.consensus.slots import pre_hash
from chain.network.messages import BLOCK_ANNOUNCE, BlockAnnounce, Channel
from chain.node import Node
from runtime.primitives import vrf
from runtime.primitives.babe import SecondaryVRF, VrfSignature, pre_digest_item, vrf_input
from runtime.primitives.grandpa import Commit, Precommit, Prevote, SignedPrecommit, localized_payload
from runtime.primitives.header import BABE_ENGINE, Digest, Seal
from tests.sim.churn import change_keys
from tests.sim.genesis import SLOT_MS, session_pair
from tests.sim.storm import settle
from tests.sim.world import Outcome, Plan, World, run

EQUAL_FOUR = (1, 1, 1, 1)


@dataclass(frozen=True)
class Schedule:
    """A network and what happens to it."""

    plan: Plan
    script: Callable[[World], Awaitable[None]]

    def play(self) -> Outcome:
        """Play it."""
        return run(self.plan, self.script)


async def split_brain(world: World) -> None:
    """Two of seven validators are twins; four keys on one side, five on the other, for a while."""
    world.start()
    await world.wait(8)
    world.network.partition(["v0", "v1", "v5a", "v6a"], ["v2", "v3", "v4", "v5b", "v6b"])
    await world.wait(25)
    await settle(world)


async def even_split(world: World) -> None:
    """Two validators on each side: neither may go on, however often they repeat themselves."""
    world.start()
    await world.wait(8)
    world.network.partition(["v0", "v1"], ["v2", "v3"])
    await world.wait(30)
    await settle(world)


async def silence(world: World) -> None:
    """For some seconds every message is lost, though everybody stays connected."""
    world.start()
    await world.wait(8)
    calm = world.network.weather
    world.network.weather = replace(calm, loss=1.0)
    await world.wait(9)
    world.network.weather = calm
    await settle(world)


async def relapses(world: World) -> None:
    """Machines are set back to what they were some seconds ago but for their guards, and wake up alone."""
    world.start()
    await world.wait(8)
    for name in ("v0", "v1", "v2"):
        machine = world.machines[name]
        backup = machine.back_up()
        await world.wait(7)
        world.network.partition([other for other in world.machines if other != name], [name])
        machine.kill()
        machine.restore(backup)
        machine.start()
        await world.wait(9)
        world.network.partition()
    await settle(world)


async def blackouts(world: World) -> None:
    """Power fails inside writes, again and again, while the network is cut here and there."""
    world.start()
    await world.wait(8)
    rng = world.rng("blackouts")
    for _ in range(40):
        machine = rng.choice(world.honest)
        if machine.up:
            machine.life.fatal = machine.life.writes + rng.randrange(4)
            machine.life.torn = rng.random() < 0.5
        await world.wait(1)
        for each in world.honest:
            world.revive(each)
        alone = rng.choice(world.honest).name
        world.network.partition([each.name for each in world.honest if each.name != alone], [alone])
        await world.wait(0.5)
        world.network.partition()
    await settle(world)


async def unsaid_prevote(world: World) -> None:
    """A vote that all wait for is signed, but the power fails before it is sent, and the chain is lost.

    The first of four has no guard, so that all others must vote.
    """
    world.machines["v0"].lose_guard(world.live)
    world.start()
    await world.wait(12)
    machine = world.machines["v3"]
    assert machine.node is not None, "v3 runs"
    assert machine.node.voter.voter is not None, "v3 votes"
    head, number = machine.node.store.best, machine.node.store.best_number
    round_ = machine.node.voter.voter.round
    machine.kill()
    machine.sign(Prevote(head, number), round_)
    machine.restore(machine.blank)
    await world.wait(8)
    machine.start()
    await settle(world)


async def clocks_set_back(world: World) -> None:
    """Machines go back in time, clock and chain, but for their guards: slots of before come again."""
    world.start()
    await world.wait(12)
    for name in ("v0", "v1"):
        machine = world.machines[name]
        backup = machine.back_up()
        await world.wait(12)
        machine.kill()
        machine.restore(backup)
        machine.clock.skew_ms = -12_000
        world.network.partition([other for other in world.machines if other != name], [name])
        machine.start()  # alone, for a node that sees others far ahead authors nothing
        await world.wait(12)
        world.network.partition()
    await settle(world)


async def two_processes(world: World) -> None:
    """Somebody starts a second node on the keys and the guard of the first, cut off from it."""
    second = world.add_process("v0", "second")
    world.start(["v0", "v1", "v2", "v3"])
    await world.wait(4)
    world.expected_stops[second.name] = GuardError
    world.network.partition(["v0", "v1"], ["second", "v2", "v3"])
    second.start()
    await world.wait(20)
    await settle(world)


async def voters_change_under_a_cut(world: World) -> None:
    """Every validator changes its keys while nobody can finalise: several changes wait one after another."""
    world.start()
    await world.wait(8)
    world.network.partition(["v0", "v1"], ["v2", "v3"])
    for name in ("v0", "v2", "v1", "v3"):
        change_keys(world, world.machines[name], 1)
        await world.wait(10)
    await settle(world)


async def false_commit(world: World) -> None:
    """A traitor claims finality for its side's head, with its own precommit, shown three times."""
    world.start()
    await world.wait(8)
    world.network.partition(["v0", "v1"], ["v2", "v3"])
    await world.wait(20)
    world.network.partition()
    victim, traitor = world.machines["v0"], session_pair("v3")
    for _ in range(60):
        await world.wait(0.25)
        node = world.machines["v3"].node
        if node is None or victim.node is None or victim.node.voter.voter is None:
            continue
        head = node.store.best
        header = victim.node.store.header(head)
        if header is not None and header.number > victim.node.store.finalized_number:
            vote = Precommit(head, header.number)
            round_ = victim.node.voter.voter.round
            signature = traitor.sign(localized_payload(vote, round_, 0))
            lie = Commit(head, header.number, 3 * [SignedPrecommit(vote, signature, traitor.public)])
            message = GOSSIP_MESSAGE.encode(CommitMessage.of(round_, 0, lie))
            world.network.send("v3", "v0", Channel.GRANDPA, message)
    await settle(world)


async def usurper(world: World) -> None:
    """A traitor builds in slots of others; all is right with its blocks but whose turn it is."""
    world.start()
    await world.wait(8)
    for _ in range(20):
        await world.wait(1.7)
        node = world.machines["v3"].node
        if node is not None:
            announcement = usurped(node)
            for name in ("v0", "v1", "v2"):
                world.network.send("v3", name, Channel.ANNOUNCES, announcement)
    await settle(world)


def usurped(node: Node) -> bytes:
    """Return the announcement of a block that v3 has built on its best block in somebody's slot."""
    pair, parent = session_pair("v3"), node.tip.parent()
    slot = max(node.clock.wall_ms() // SLOT_MS, parent.slot + 1)
    epoch = node.tip.epoch(parent, slot)
    index = epoch.index_of(pair.public)
    assert index is not None, "v3 is an authority"
    proof = vrf.prove(pair.secret, vrf_input(epoch.randomness, slot, epoch.index))
    digest = SecondaryVRF(index, slot, VrfSignature.from_proof(proof))
    execution = node.tip.open_block(parent, parent.header.number + 1, Digest([pre_digest_item(digest)]))
    body = execution.inherents({"timestamp": slot * SLOT_MS})
    for inherent in body:
        execution.apply(inherent)
    unsealed = execution.finish().header
    header = unsealed.sealed(Seal(BABE_ENGINE, pair.sign(pre_hash(unsealed))))
    return BLOCK_ANNOUNCE.encode(BlockAnnounce(header, True, body))


SCHEDULES = {
    "split_brain": Schedule(Plan(1, 7, (1,) * 7, twins=("v5", "v6")), split_brain),
    "even_split": Schedule(Plan(2, 4, EQUAL_FOUR), even_split),
    "silence": Schedule(Plan(10, 4, EQUAL_FOUR), silence),
    "relapses": Schedule(Plan(3, 4, EQUAL_FOUR), relapses),
    "blackouts": Schedule(Plan(4, 4, EQUAL_FOUR), blackouts),
    "unsaid_prevote": Schedule(Plan(11, 4, EQUAL_FOUR), unsaid_prevote),
    "clocks_set_back": Schedule(Plan(5, 4, EQUAL_FOUR), clocks_set_back),
    "two_processes": Schedule(Plan(6, 4, EQUAL_FOUR), two_processes),
    "voters_change_under_a_cut": Schedule(Plan(7, 4, EQUAL_FOUR), voters_change_under_a_cut),
    "false_commit": Schedule(Plan(8, 4, EQUAL_FOUR, traitors=("v3",)), false_commit),
    "usurper": Schedule(Plan(9, 4, EQUAL_FOUR, traitors=("v3",)), usurper),
}
"""By name."""
