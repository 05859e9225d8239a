"""Four validators and a runtime upgrade: those who have it go on, who lacks it stops, resumes, catches up."""

from chain.common.errors import RuntimeMissing
from chain.common.faults import Fault
from chain.network.peers import BANNED
from chain.node import Node
from chain.runtimes import Runtimes
from chain.txpool.pool import Limits
from runtime.apis import NATIVE
from runtime.runtime import AssayRuntime
from tests.chain.network.lab import Lab, play
from tests.chain.network.test_transactions import Teller, remark
from tests.runtime import next_version
from tests.sim.genesis import stash_pair
from tests.sim.users import signed

FOUR = ("a", "b", "c", "d")
OLD, BOTH = Runtimes([NATIVE]), Runtimes([NATIVE, next_version.NATIVE])
AT = 8
"""the first block of the next version"""


def schedule(node: Node) -> bytes:
    """Return root's word that the next version takes over."""
    code = next_version.NATIVE.manifest("sim").encode()
    call = AssayRuntime.call("System", "schedule_upgrade", AT, code)
    return signed(node, stash_pair("v0"), "Sudo", "sudo", call)


def begin(lab: Lab, lacking: int) -> list[Node]:
    """Start four validators, the last of which lack the next version."""
    nodes = []
    for index, name in enumerate(FOUR):
        runtimes = OLD if index >= len(FOUR) - lacking else BOTH
        nodes.append(lab.start(name, f"v{index}", runtimes=runtimes))
    nodes[0].submit(schedule(nodes[0]))
    return nodes


def spec_version(node: Node) -> int:
    return node.executor.version(node.store.state_at(node.store.finalized)).spec_version


async def stopped(lab: Lab, name: str) -> None:
    """Wait until a node ends before the height, with its last block final."""
    store = lab.nodes[name].store
    problem = first(await lab.ending(name))
    assert (store.best_number, store.finalized_number) == (AT - 1, AT - 1)
    assert isinstance(problem, RuntimeMissing)
    assert str(problem).startswith(f"stopped after block #{AT - 1} ")


def first(problem: BaseException | None) -> BaseException:
    """Return what a group of exceptions began with."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    assert problem is not None
    return problem


def test_three_of_four_go_on_and_the_fourth_catches_up_once_it_has_the_version() -> None:
    async def script(lab: Lab) -> None:
        nodes = begin(lab, lacking=1)
        await stopped(lab, "d")
        await lab.until(lambda: all(node.store.finalized_number >= AT + 3 for node in nodes[:3]))
        back = lab.start("d", "v3", runtimes=BOTH)
        await lab.until(lambda: back.store.finalized_number >= nodes[0].store.best_number - 1)
        assert {spec_version(node) for node in (*nodes[:3], back)} == {next_version.NEXT_VERSION.spec_version}

    play(script, FOUR, validators=4)


def test_where_too_many_lack_it_finality_waits_for_them_and_nothing_forks() -> None:
    async def script(lab: Lab) -> None:
        nodes = begin(lab, lacking=2)
        for name in ("c", "d"):
            await stopped(lab, name)
        await lab.until(lambda: nodes[0].store.best_number >= AT + 2)
        assert nodes[0].store.finalized_number == AT - 1
        back = [lab.start(name, f"v{index}", runtimes=BOTH) for index, name in ((2, "c"), (3, "d"))]
        await lab.until(lambda: all(node.store.finalized_number >= AT + 6 for node in (*nodes[:2], *back)))
        assert len({node.store.hash_at(AT + 6) for node in (*nodes[:2], *back)}) == 1

    play(script, FOUR, validators=4)


def test_a_whole_pool_of_a_peer_that_is_one_block_before_the_upgrade_is_no_reason_to_ban_it() -> None:
    async def script(lab: Lab) -> None:
        node = lab.start("a", "v0", runtimes=BOTH)
        node.submit(schedule(node))
        old = [remark(node, bytes([number])) for number in range(20)]  # the version is signed, too
        await lab.until(lambda: node.store.best_number >= AT)
        peer = Teller(lab, "x", node)
        await lab.until(lambda: node.network.peers() == ["x"])
        peer.announce(old)
        await lab.until(lambda: node.network.faults == {Fault.BAD_TRANSACTION: len(old)}, 5)
        assert 0 < lab.cost("a", "x") * Limits().ready_count / len(old) < BANNED

    play(script, ("a", "x"))
