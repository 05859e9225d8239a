"""The bonded stake of one stash, as pure functions. Amounts are planck.

    bond -> active -> unbond -> unlocking (bonding duration) -> withdraw -> free
                   <- rebond <-

Source: FRAME's pallet-staking, StakingLedger.
"""

from dataclasses import replace

from runtime.pallets.staking.types import MAX_UNLOCKING_CHUNKS, StakingLedger, UnlockChunk
from runtime.primitives.types import AccountId, Balance


def opened(stash: AccountId, value: Balance) -> StakingLedger:
    """Return the ledger of a first bond."""
    return StakingLedger(stash, value, value, [], [])


def added(ledger: StakingLedger, extra: Balance) -> StakingLedger:
    """Return the ledger with more at stake."""
    return replace(ledger, total=ledger.total + extra, active=ledger.active + extra)


def unbonded(ledger: StakingLedger, value: Balance, era: int, minimum: Balance) -> StakingLedger:
    """Let some stake unlock in an era; all of it where less than the minimum would be left.

    One chunk per era: chunks lie in the order of their eras, so an equal one is the last.
    """
    active = ledger.active - min(value, ledger.active)
    if active < minimum:
        active = 0
    value, chunks = ledger.active - active, ledger.unlocking
    if chunks and chunks[-1].era == era:
        chunks, value = chunks[:-1], value + chunks[-1].value
    assert len(chunks) < MAX_UNLOCKING_CHUNKS, "the caller looks whether there is room"
    return replace(ledger, active=active, unlocking=[*chunks, UnlockChunk(value, era)])


def has_room(ledger: StakingLedger, era: int) -> bool:
    """Say whether one more chunk, of this era, can be added."""
    chunks = ledger.unlocking
    return len(chunks) < MAX_UNLOCKING_CHUNKS or chunks[-1].era == era


def rebonded(ledger: StakingLedger, value: Balance) -> StakingLedger:
    """Put unlocking stake to work again, what would unlock last first."""
    chunks, left = list(ledger.unlocking), value
    while chunks and left:
        last = chunks.pop()
        taken = min(left, last.value)
        left -= taken
        if taken < last.value:
            chunks.append(replace(last, value=last.value - taken))
    return replace(ledger, active=ledger.active + value - left, unlocking=chunks)


def withdrawn(ledger: StakingLedger, era: int) -> StakingLedger:
    """Let go of what is unlocked in an era."""
    kept = [chunk for chunk in ledger.unlocking if chunk.era > era]
    return replace(ledger, total=ledger.active + sum(chunk.value for chunk in kept), unlocking=kept)


def slashed(ledger: StakingLedger, amount: Balance, minimum: Balance, first_era: int) -> StakingLedger:
    """Take an amount, as far as there is that much, from what was at stake when the offence happened.

    That is what is active, and what unlocks in `first_era` or later: each gives in proportion. Only when it
    is not enough do older chunks give, the youngest first. No part is left with less than the minimum.
    """
    recent = [chunk.era >= first_era for chunk in ledger.unlocking]
    affected = ledger.active + sum(
        chunk.value for chunk, hit in zip(ledger.unlocking, recent, strict=True) if hit
    )
    left = amount
    active, left = _bitten(ledger.active, amount, affected, left, minimum)
    values = [chunk.value for chunk in ledger.unlocking]
    for at, hit in enumerate(recent):
        if hit and left:
            values[at], left = _bitten(values[at], amount, affected, left, minimum)
    for at in reversed(range(len(values))):
        if not recent[at] and left:
            values[at], left = _bitten(values[at], left, values[at], left, minimum)
    chunks = [
        replace(chunk, value=value) for chunk, value in zip(ledger.unlocking, values, strict=True) if value
    ]
    return replace(
        ledger, total=active + sum(chunk.value for chunk in chunks), active=active, unlocking=chunks
    )


def _bitten(
    value: Balance, amount: Balance, affected: Balance, left: Balance, minimum: Balance
) -> tuple[Balance, Balance]:
    """Take the share of one part, rounded up; return what stays of it and of the slash."""
    if not value:
        return 0, left
    share = min(-(-value * amount // affected), value, left)
    rest = value - share
    if rest < minimum:
        rest = 0
    return rest, max(left - (value - rest), 0)
