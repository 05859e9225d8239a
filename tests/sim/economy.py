"""What must hold of the money and of offences in the state of a final block."""

from chain.node import Node
from runtime.frame.state import Overlay
from runtime.runtime import AssayRuntime
from tests.sim.genesis import stash_pair


def runtime_at_final(node: Node) -> AssayRuntime:
    """Return the runtime as it stands after a node's last final block."""
    return AssayRuntime(Overlay(node.store.state_at(node.store.finalized)))


def money_flaw(node: Node) -> str | None:
    """Say what is wrong with the money: every pallet's invariants, and where each planck came from."""
    runtime = runtime_at_final(node)
    try:
        runtime.try_state()
    except AssertionError as problem:
        return f"the state of block {node.store.finalized_number} breaks an invariant: {problem!r}"
    genesis = AssayRuntime(Overlay(node.store.state_at(node.store.genesis_hash)))
    before, now = genesis.balances.total_issuance.get(), runtime.balances.total_issuance.get()
    minted = sum(
        runtime.incentive.block_reward >> number // runtime.incentive.halving_interval
        for number in range(1, node.store.finalized_number + 1)
    )
    destroyed = before + minted - now
    if destroyed and not (destroyed > 0 and list(runtime.offences.reports.items())):
        return f"{destroyed} planck are missing at block {node.store.finalized_number}: nobody was slashed"
    return None


def accused(node: Node) -> dict[bytes, int]:
    """Return how many offences each stash is guilty of, as the chain has it."""
    guilty: dict[bytes, int] = {}
    for _, details in runtime_at_final(node).offences.reports.items():
        stash = bytes(details.offender.stash)
        guilty[stash] = guilty.get(stash, 0) + 1
    return guilty


def stash_of(validator: str) -> bytes:
    """Return the account of a validator."""
    return stash_pair(validator).account
