"""The events of Incentive. Amounts are planck."""

from runtime.frame.declare import event
from runtime.primitives.shapes import u16, u128
from runtime.primitives.types import AccountId, Hash


@event
class EpochRun:
    """An epoch of a subnet ran: of `emission`, `paid` was earned and `carried` waits for the next one.

    `input_hash` is the blake2-256 of the SCALE form of the EpochInput, so that anyone can replay it.
    """

    netuid: u16
    input_hash: Hash
    emission: u128
    paid: u128
    carried: u128


@event
class EmissionPaid:
    """A neuron earned this as a miner and as a judge.

    Its coldkey has got it but for what is its `nominators`' of the dividend, who are paid with the era's
    rewards, and what is `vesting` of the incentive, which is paid round by round.
    """

    netuid: u16
    uid: u16
    hotkey: AccountId
    coldkey: AccountId
    incentive: u128
    dividend: u128
    nominators: u128
    vesting: u128


@event
class EmissionCarried:
    """Emission that nobody earned waits for the subnet's next epoch."""

    netuid: u16
    amount: u128


@event
class EmissionVested:
    """What was earned in earlier rounds has become a coldkey's own."""

    netuid: u16
    coldkey: AccountId
    amount: u128


Event = EpochRun | EmissionPaid | EmissionCarried | EmissionVested
