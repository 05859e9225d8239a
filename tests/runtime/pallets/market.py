"""A small runtime with the real ledger, stake and market pallets, for the tests of this directory."""

from typing import Any

from runtime.frame.base import Runtime
from runtime.frame.testing import Externalities
from runtime.pallets.authorship import Authorship
from runtime.pallets.babe import Babe
from runtime.pallets.balances import Balances
from runtime.pallets.election.pallet import ElectionProvider
from runtime.pallets.historical import Historical
from runtime.pallets.incentive.pallet import Incentive
from runtime.pallets.neurons.pallet import Neurons
from runtime.pallets.offences import Offences
from runtime.pallets.session import Session
from runtime.pallets.staking.pallet import Staking
from runtime.pallets.subnets.pallet import Subnets
from runtime.pallets.system import System
from runtime.pallets.timestamp import Timestamp
from runtime.pallets.weights import Weights
from runtime.primitives.types import AccountId
from runtime.primitives.version import RuntimeVersion

ASY = 10**12
"""planck"""
FUNDS = 10_000 * ASY
"""planck at genesis, each account"""
TRAINING, INFERENCE = 1, 2

ALICE, BOB, CAROL, DAVE, EVE = (AccountId(bytes([number]) * 32) for number in range(1, 6))
HOT_ALICE, HOT_BOB, HOT_CAROL, HOT_DAVE, HOT_EVE = (
    AccountId(bytes([0xA0 + number]) * 32) for number in range(1, 6)
)


class Market(Runtime):
    """Money, stake and the four pallets of the market."""

    system = System.at(0, version=RuntimeVersion("market", "market", 1, 1, 0, [], 1, 1))
    session = Session.at(6, accounts=system, manager="staking", handlers=("babe", "historical"))
    babe = Babe.at(2, system=system, session=session, historical="historical", offences="offences")
    timestamp = Timestamp.at(1, slots=babe)
    authorship = Authorship.at(3, babe=babe, session=session)
    balances = Balances.at(4, accounts=system)
    staking = Staking.at(
        7,
        currency=balances,
        session=session,
        election="election",
        pot="incentive",
        authorship=authorship,
        timestamp=timestamp,
    )
    historical = Historical.at(8, staking=staking)
    offences = Offences.at(9, historical=historical, staking=staking, authorship=authorship, babe=babe)
    election = ElectionProvider.at(11, voters=staking)
    subnets = Subnets.at(20, system=system, incentive="incentive")
    neurons = Neurons.at(
        21,
        system=system,
        subnets=subnets,
        currency=balances,
        staking=staking,
        earnings="incentive",
        hygiene=("weights", "incentive"),
        weights="weights",
    )
    weights = Weights.at(22, system=system, subnets=subnets, neurons=neurons, incentive="incentive")
    incentive = Incentive.at(
        23, subnets=subnets, neurons=neurons, weights=weights, currency=balances, staking=staking
    )


NUMBERS = {
    "tempo": 20,
    "immunity_period": 30,
    "activity_cutoff": 200,
    "freeze_window": 2,
    "max_uids": 4,
    "burn_start": ASY,
    "burn_min": ASY // 10,
    "burn_max": 1000 * ASY,
    "burn_half_life": 60,
    "uid_bond": 500 * ASY,
    "weights_rate_limit": 5,
    "serving_rate_limit": 5,
    "vesting_rounds": 0,
    "commit_reveal": 0,
}
"""The dev network's numbers, with few uids, short limits, and rows of weights set in the open."""


def text(account: bytes) -> str:
    """Return an account as a chain specification writes it."""
    return "0x" + account.hex()


def genesis(**changes: Any) -> dict[str, Any]:
    """Return a genesis: Alice and Bob judge a training subnet and an inference subnet that Eve owns."""
    seats = [
        {"hotkey": text(hotkey), "coldkey": text(coldkey)}
        for hotkey, coldkey in ((HOT_ALICE, ALICE), (HOT_BOB, BOB))
    ]
    config: dict[str, Any] = {
        "balances": {"balances": [[text(who), FUNDS] for who in (ALICE, BOB, CAROL, DAVE, EVE)]},
        "staking": {"stakers": [[text(ALICE), 4000 * ASY], [text(BOB), 4000 * ASY]]},
        "subnets": {
            TRAINING: {"kind": "Training", "owner": text(EVE), "hyperparameters": NUMBERS},
            INFERENCE: {"kind": "Inference", "owner": text(EVE), "hyperparameters": NUMBERS},
        },
        "neurons": {TRAINING: seats, INFERENCE: seats},
        "incentive": {TRAINING: [0, 1], INFERENCE: [0, 1]},
    }
    return config | changes


def market(**changes: Any) -> Externalities:
    """Return the market with block 1 open."""
    return Externalities(Market, genesis=genesis(**changes))
