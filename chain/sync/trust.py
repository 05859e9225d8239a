"""What a newcomer relies on that nobody has proven to it, and whether that may still be relied on."""

import logging
from dataclasses import dataclass
from typing import Protocol

from chain.checkpoints import Checkpoint, Checkpoints
from chain.common.errors import SyncRefused
from chain.consensus.slots import pre_digest_slot
from chain.env import Clock
from chain.executor import Executor
from chain.spec import ChainSpec
from runtime.frame.state import State
from runtime.primitives.babe import Authorities
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

log = logging.getLogger("sync")

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


class Restored(Protocol):
    """A chain that may be under restoration."""

    @property
    def best_number(self) -> int: ...
    def abandon_restoration(self) -> None:
        """Go back to the genesis block, as if nothing had been restored."""


class Abandoned(Protocol):
    """The record of an ascent that is over."""

    def standing(self) -> bytes | None: ...
    def clear(self) -> None: ...
    def discard(self) -> None: ...


class Passed(Protocol):
    """The final blocks of a chain."""

    @property
    def finalized_number(self) -> int: ...
    def hash_at(self, number: int) -> Hash | None: ...


@dataclass(frozen=True, slots=True)
class Trust:
    """What a newcomer may rely on."""

    checkpoint: Checkpoint | None
    voters: tuple[Authorities, int]  # at genesis
    genesis_ms: int | None  # when the chain began, where that is known
    bonding_ms: int  # after which validators may be gone, and their keys sold
    slot_ms: int
    is_lenient: bool  # a test chain's keys are known to everybody anyway


def trust_of(executor: Executor, genesis: State, spec: ChainSpec, checkpoint: Checkpoint | None) -> Trust:
    """Return what the state of the genesis block and the specification say."""
    return Trust(
        checkpoint,
        executor.grandpa_set(genesis),
        spec.genesis_ms,
        executor.bonding_ms(genesis),
        executor.slot_duration(genesis),
        spec.is_test_chain,
    )


def check_age(trust: Trust, header: Header, clock: Clock) -> None:
    """Refuse a point whose voters may have left and sold their keys.

    Raises: SyncRefused.
    """
    since = pre_digest_slot(header) * trust.slot_ms if header.number else trust.genesis_ms
    age = None if since is None else clock.wall_ms() - since
    if age is not None and age <= trust.bonding_ms:
        return
    which = f"#{header.number}" if header.number else "genesis"
    old = "of unknown age" if age is None else f"{_span(age)} old"
    if trust.is_lenient:
        log.info(
            "⏩ The newest block this node trusts, %s, is %s; keys of test chains are public", which, old
        )
        return
    raise SyncRefused(
        f"the newest block this node trusts, {which}, is {old}, and validators who may have left within "
        f"{_span(trust.bonding_ms)} could sign another history: give --checkpoint as `assay checkpoint` "
        "prints it on a node you trust (--sync full goes without, and follows whom it meets first)"
    )


def warn_of_age(bonding_ms: int, slot_ms: int, header: Header, clock: Clock) -> None:
    """Say so where a chain was left for so long that the voters of then may have sold their keys."""
    age = clock.wall_ms() - pre_digest_slot(header) * slot_ms
    if age > bonding_ms:
        log.warning(
            "⚠️ The last final block here, #%d, is %s old: validators who may have left within %s could sign "
            "another history from there on, and whom this node meets first it follows. Stop it and give "
            "--checkpoint as `assay checkpoint` prints it on a node you trust",
            header.number, _span(age), _span(bonding_ms),
        )  # fmt: skip


def check_passed(store: Passed, checkpoints: Checkpoints) -> None:
    """See to it that a stored chain passes through what is trusted.

    Raises: SyncRefused.
    """
    for each in checkpoints:
        block = store.hash_at(each.number) if each.number <= store.finalized_number else None
        if block is not None and block != each.hash:
            raise SyncRefused(
                f"the chain in the database lies beside the checkpoint #{each.number}: 0x{block.hex()} is "
                f"there and not 0x{each.hash.hex()}. Purge the chain and sync again, or drop the checkpoint"
            )


def leave_ascent(store: Restored, record: Abandoned) -> None:
    """Forget what is left of an earlier run that did not end, or has ended after all.

    Raises: StorageError.
    """
    if record.standing() is None:
        return
    if store.best_number:
        record.clear()
        return
    log.info("⏩ Giving up the sync that was begun: every block is synced")
    store.abandon_restoration()
    record.discard()


def _span(ms: int) -> str:
    """Return a duration as people say it."""
    if ms >= 2 * DAY_MS:
        return f"{ms // DAY_MS} days"
    return f"{ms // HOUR_MS} hours" if ms >= 2 * HOUR_MS else f"{ms // 60_000} minutes"
