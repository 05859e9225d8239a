"""The Assay runtime: the only file that names all pallets, their indices and what each needs of another.

Indices are wire format: leave gaps, never renumber.
"""

from runtime.frame.base import Runtime
from runtime.frame.executive import Executive
from runtime.frame.extension import Extension
from runtime.pallets.authorship import Authorship
from runtime.pallets.babe import Babe
from runtime.pallets.balances import Balances
from runtime.pallets.checks import (
    CheckGenesis,
    CheckMetadataHash,
    CheckMortality,
    CheckNonce,
    CheckNonZeroSender,
    CheckSpecVersion,
    CheckTxVersion,
    CheckWeight,
)
from runtime.pallets.election.pallet import ElectionProvider
from runtime.pallets.free_calls import CheckFreeCalls
from runtime.pallets.grandpa import Grandpa
from runtime.pallets.historical import Historical
from runtime.pallets.incentive.pallet import Incentive
from runtime.pallets.model_updates.pallet import ModelUpdates
from runtime.pallets.multisig import Multisig
from runtime.pallets.neurons.pallet import Neurons
from runtime.pallets.offences import Offences
from runtime.pallets.proxy import Proxy, ProxyType, Reach
from runtime.pallets.session import Session
from runtime.pallets.staking.pallet import Staking
from runtime.pallets.subnets.pallet import Subnets
from runtime.pallets.sudo import Sudo
from runtime.pallets.system import System
from runtime.pallets.timestamp import Timestamp
from runtime.pallets.training.pallet import Training
from runtime.pallets.transaction_payment import ChargeTransactionPayment, TransactionPayment
from runtime.pallets.utility import Utility
from runtime.pallets.verification.pallet import Verification
from runtime.pallets.weights import Weights
from runtime.primitives.hashing import blake2_64
from runtime.primitives.version import RuntimeVersion

APIS = {
    "Core": 5,
    "Metadata": 2,
    "TaggedTransactionQueue": 3,
    "AccountNonceApi": 1,
    "TransactionPaymentApi": 4,
    "TransactionPaymentCallApi": 3,
    "BabeApi": 2,
    "GrandpaApi": 3,
    "SessionKeys": 1,
    "SubnetApi": 1,
    "ModelUpdatesApi": 1,
    "TrainingApi": 1,
}
"""Runtime APIs and their versions; apis.py declares and answers exactly these, in this order."""

VERSION = RuntimeVersion(
    spec_name="assay",
    impl_name="assay-python",
    authoring_version=1,
    spec_version=101,
    impl_version=0,
    apis=[(blake2_64(name.encode()), version) for name, version in APIS.items()],
    transaction_version=1,
    system_version=1,
)


WORK = ("Subnets", "Neurons", "Weights", "ModelUpdates", "Training", "Verification")
"""Pallets of the market for AI work."""
REACHES = {
    ProxyType.NonTransfer: Reach(
        ("System", "Session", "Staking", "Utility", "Proxy", *WORK),
        but=("Proxy.announce", "Subnets.set_owner", "Neurons.swap_hotkey"),
    ),
    ProxyType.Staking: Reach(("Session", "Staking", "Utility")),
}
"""What proxies of a type may call. No multisig: an approval by hash shows no filter what it approves; no
announcement for the same reason; nothing that hands property over."""


class AssayRuntime(Runtime):
    """Consensus, money, and the market for AI work."""

    system = System.at(0, version=VERSION)
    session = Session.at(6, accounts=system, manager="staking", handlers=("babe", "grandpa", "historical"))
    babe = Babe.at(2, system=system, session=session, historical="historical", offences="offences")
    timestamp = Timestamp.at(1, slots=babe)
    authorship = Authorship.at(3, babe=babe, session=session)
    balances = Balances.at(4, accounts=system)
    transaction_payment = TransactionPayment.at(5, system=system, currency=balances, authorship=authorship)
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
    grandpa = Grandpa.at(10, system=system, historical=historical, offences=offences, rewards=staking)
    election = ElectionProvider.at(11, voters=staking)
    utility = Utility.at(12)
    multisig = Multisig.at(13, system=system, currency=balances)
    proxy = Proxy.at(14, system=system, currency=balances, reaches=REACHES)
    sudo = Sudo.at(15)
    subnets = Subnets.at(20, system=system, incentive="incentive")
    neurons = Neurons.at(
        21,
        system=system,
        subnets=subnets,
        currency=balances,
        staking=staking,
        earnings="incentive",
        hygiene=("weights", "incentive", "verification"),
        weights="weights",
    )
    weights = Weights.at(22, system=system, subnets=subnets, neurons=neurons, incentive="incentive")
    incentive = Incentive.at(
        23, subnets=subnets, neurons=neurons, weights=weights, currency=balances, staking=staking
    )
    model_updates = ModelUpdates.at(24, system=system, training="training", neurons=neurons)
    training = Training.at(
        25,
        system=system,
        subnets=subnets,
        neurons=neurons,
        incentive=incentive,
        babe=babe,
        model_updates=model_updates,
        verification="verification",
    )
    verification = Verification.at(
        26,
        system=system,
        subnets=subnets,
        training=training,
        neurons=neurons,
        model_updates=model_updates,
        incentive=incentive,
        weights=weights,
        babe=babe,
        currency=balances,
    )


EXTENSIONS: tuple[Extension, ...] = (
    CheckNonZeroSender(),
    CheckSpecVersion(system=AssayRuntime.system),
    CheckTxVersion(system=AssayRuntime.system),
    CheckGenesis(system=AssayRuntime.system),
    CheckMortality(system=AssayRuntime.system),
    CheckNonce(system=AssayRuntime.system),
    CheckWeight(system=AssayRuntime.system),
    ChargeTransactionPayment(payment=AssayRuntime.transaction_payment, system=AssayRuntime.system),
    CheckMetadataHash(),
    CheckFreeCalls(
        model_updates=AssayRuntime.model_updates,
        training=AssayRuntime.training,
        verification=AssayRuntime.verification,
    ),
)

EXECUTIVE = Executive(AssayRuntime, EXTENSIONS)
