"""Checks of signed extrinsics: what a block holds, and what a signature is bound to."""

import pytest

from runtime.frame.declare import DispatchClass
from runtime.pallets.checks import MAX_NONCE_LEAD, TAG
from runtime.primitives.era import MortalEra
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import Hash, Weight
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import ALICE, BOB, Chain, call, transfer


def reason_in_pool(chain: Chain, encoded: bytes) -> str:
    with pytest.raises(TransactionRejected) as refused:
        EXECUTIVE.validate(chain.state, chain.head, encoded)
    return refused.value.reason


def test_extensions_are_in_the_order_clients_sign() -> None:
    assert [extension.name for extension in EXECUTIVE.extensions] == [
        "CheckNonZeroSender", "CheckSpecVersion", "CheckTxVersion", "CheckGenesis", "CheckMortality",
        "CheckNonce", "CheckWeight", "ChargeTransactionPayment", "CheckMetadataHash", "CheckFreeCalls",
    ]  # fmt: skip


def test_a_block_takes_what_fits_its_weight_and_counts_it() -> None:
    chain = Chain()
    chain.build()
    system = chain.runtime.system
    limit, base = system.block_weights.per_class.normal.max_total, system.block_weights.per_class.normal
    assert limit is not None
    heavy = call("Utility", "batch", [transfer(BOB, 1)] * 100)
    each = chain.runtime.info(heavy).weight.ref_time + base.base_extrinsic.ref_time
    fitting = limit.ref_time // each
    execution = chain.open()
    for nonce in range(fitting):
        assert execution.apply(chain.sign(ALICE, heavy, nonce=nonce)) is None
    with pytest.raises(TransactionRejected) as refused:
        execution.apply(chain.sign(ALICE, heavy, nonce=fitting))
    assert refused.value.reason == "ExhaustsResources"
    used = execution.runtime.system.block_weight.get()  # type: ignore[attr-defined]
    assert used.normal == Weight(each * fitting, 0)
    assert execution.apply(chain.sign(ALICE, transfer(BOB, 1), nonce=fitting)) is None


def test_a_block_takes_what_fits_its_length() -> None:
    chain = Chain()
    chain.build()
    limit = chain.runtime.system.block_length.max.normal
    long = chain.sign(ALICE, call("System", "remark", bytes(limit // 2)))
    execution = chain.open()
    execution.apply(long)
    with pytest.raises(TransactionRejected) as refused:
        execution.apply(chain.sign(BOB, call("System", "remark", bytes(limit // 2))))
    assert refused.value.reason == "ExhaustsResources"
    assert execution.runtime.system.all_extrinsics_len.get() == len(long)  # type: ignore[attr-defined]


def test_a_nonce_may_wait_this_far_ahead() -> None:
    chain = Chain()
    waiting = chain.sign(ALICE, transfer(BOB, 1), nonce=MAX_NONCE_LEAD)
    valid = EXECUTIVE.validate(chain.state, chain.head, waiting)
    assert valid.requires == [TAG.encode((ALICE.account, MAX_NONCE_LEAD - 1))]
    assert valid.provides[0] == TAG.encode((ALICE.account, MAX_NONCE_LEAD))
    assert reason_in_pool(chain, chain.sign(ALICE, transfer(BOB, 1), nonce=MAX_NONCE_LEAD + 1)) == "Future"


def test_an_era_older_than_the_kept_hashes_is_ancient() -> None:
    config = dict(Chain().config)
    config["constants"] = {**config["constants"], "System": {"BlockHashCount": 2}}
    chain = Chain(config)
    for _ in range(5):
        chain.build()
    era = MortalEra(64, 1)
    assert reason_in_pool(chain, chain.sign(ALICE, transfer(BOB, 1), era=era)) == "AncientBirthBlock"
    young = MortalEra(64, 5)
    EXECUTIVE.validate(chain.state, chain.head, chain.sign(ALICE, transfer(BOB, 1), era=young))
    assert reason_in_pool(
        chain, chain.sign(ALICE, transfer(BOB, 1), era=young, born=Hash(bytes(32)))
    ) == "BadProof"  # fmt: skip


def test_only_inherents_are_mandatory() -> None:
    runtime = Chain().runtime
    mandatory = [
        (target.attribute, target.spec.name)
        for target in runtime.targets.values()
        if target.spec.mark.dispatch_class is DispatchClass.Mandatory
    ]
    assert mandatory == [("timestamp", "set"), ("grandpa", "note_finality")]
