"""Transactions that nobody signed: who lets them in, from where, and what they count as in a block."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from runtime.frame.base import Runtime
from runtime.frame.declare import DispatchClass, Unsigned, call, db
from runtime.frame.errors import PalletError, ensure
from runtime.frame.executive import BlockFault, BlockRejected, Executive, genesis_header
from runtime.frame.pallet import Pallet
from runtime.frame.state import Overlay
from runtime.frame.storage import Map, storage
from runtime.frame.testing import MemoryState
from runtime.pallets.checks import CheckWeight
from runtime.pallets.system import ExtrinsicFailed, ExtrinsicSuccess, System
from runtime.primitives.header import Digest
from runtime.primitives.shapes import u32, u64
from runtime.primitives.transaction import TransactionRejected, ValidTransaction
from runtime.primitives.types import Weight
from runtime.primitives.validity import TransactionSource
from runtime.primitives.version import RuntimeVersion

LOCAL, EXTERNAL, IN_BLOCK = TransactionSource.Local, TransactionSource.External, TransactionSource.InBlock
MAX_PRIORITY = 2**64 - 1


class Error(PalletError):
    """Why a claim is refused."""

    Odd = "Only even numbers can be claimed."


class Claims(Pallet[None, Error]):
    """Numbers anybody may claim once, without an account."""

    claimed: Map[u32, bool] = storage(default=False)

    def validate_claim(self, source: TransactionSource, number: int) -> ValidTransaction:
        """Let a number in that is not claimed."""
        if source is EXTERNAL:
            raise TransactionRejected("invalid", "Call")
        if self.claimed[number]:
            raise TransactionRejected("invalid", "Stale")
        return ValidTransaction(MAX_PRIORITY, [], [b"claim" + number.to_bytes(4, "little")], 64, False)

    @call(0, weight=db(writes=1), unsigned=validate_claim)
    def claim(self, origin: Unsigned, number: u32) -> None:
        """Claim a number."""
        self.claimed[number] = True
        ensure(number % 2 == 0, Error.Odd)

    @call(1, weight=db(writes=1))
    def never(self, origin: Unsigned, number: u32) -> None:
        """Claim a number; nobody validates it."""

    @call(2, weight=db(), dispatch_class=DispatchClass.Mandatory)
    def stamp(self, origin: Unsigned, now: u64) -> None:
        """Say what time it is."""

    @call(3, weight=Weight(10**15), unsigned=validate_claim)
    def heavy(self, origin: Unsigned, number: u32) -> None:
        """Claim a number with more weight than a block has."""

    def create_inherent(self, supplied: Any) -> tuple[str, tuple[Any, ...]]:
        """Every block has a stamp."""
        return "stamp", (supplied["now"],)


class Small(Runtime):
    """System and Claims."""

    system = System.at(0, version=RuntimeVersion("small", "small", 1, 1, 0, [], 1, 1))
    claims = Claims.at(1)


SMALL = Executive(Small, (CheckWeight(system=Small.system),))


def bare(name: str, number: int) -> bytes:
    return SMALL.format.bare(Small.call("Claims", name, number))


@dataclass
class Chain:
    state: MemoryState
    parent: Any

    @classmethod
    def new(cls) -> "Chain":
        state, overlay = MemoryState(), Overlay(MemoryState())
        Small.build_genesis(overlay, {})
        state.apply(overlay.changes)
        return cls(state, genesis_header(state.root({})))

    def draft(self, *extrinsics: bytes) -> tuple[Any, list[bytes], list[Any]]:
        execution = SMALL.open(self.state, self.parent.number + 1, self.parent.hash(), Digest([]))
        body = [*execution.inherents({"now": 7}), *extrinsics]
        errors = [execution.apply(each) for each in body]
        return execution.finish(), body, errors

    def refusal(self, encoded: bytes, source: TransactionSource) -> tuple[str, str]:
        with pytest.raises(TransactionRejected) as refused:
            SMALL.validate(self.state, self.parent, encoded, source=source)
        return refused.value.reason, refused.value.describe()


@pytest.mark.parametrize("source", [LOCAL, IN_BLOCK])
def test_the_pallet_says_where_it_belongs(source: TransactionSource) -> None:
    chain = Chain.new()
    valid = SMALL.validate(chain.state, chain.parent, bare("claim", 4), source=source)
    assert valid == ValidTransaction(MAX_PRIORITY, [], [b"claim\x04\0\0\0"], 64, False)


def test_clients_are_refused_in_substrates_words() -> None:
    refused = Chain.new().refusal(bare("claim", 4), EXTERNAL)
    assert refused == ("Call", "Transaction call is not expected")


def test_a_call_without_a_validator_is_unknown_from_anywhere() -> None:
    chain, words = Chain.new(), "Could not find an unsigned validator for the unsigned transaction"
    for source in TransactionSource:
        assert chain.refusal(bare("never", 4), source) == ("NoUnsignedValidator", words)


def test_an_inherent_is_no_transaction() -> None:
    assert Chain.new().refusal(bare("stamp", 4), LOCAL)[0] == "MandatoryValidation"


def test_a_weight_no_block_has_is_refused() -> None:
    chain = Chain.new()
    assert chain.refusal(bare("heavy", 4), LOCAL)[0] == "ExhaustsResources"
    with pytest.raises(TransactionRejected, match="exhaust"):
        chain.draft(bare("heavy", 4))


def test_it_counts_in_a_block_like_any_other_and_a_foreign_block_may_hold_it() -> None:
    chain = Chain.new()
    executed, body, errors = chain.draft(bare("claim", 4), bare("claim", 5))
    assert [error and error.reason for error in errors] == [None, None, Error.Odd]
    again = SMALL.execute_block(chain.state, executed.header, body, {"now": 7})
    assert again == executed
    chain.state.apply(executed.changes)
    runtime = Small.reading(chain.state)
    assert dict(runtime.claims.claimed.items()) == {4: True}
    assert [type(record.event) for record in runtime.system.events.get()] == [
        ExtrinsicSuccess,
        ExtrinsicSuccess,
        ExtrinsicFailed,
    ]
    base = runtime.system.block_weights.per_class.normal.base_extrinsic
    used = runtime.system.block_weight.get().normal
    assert used == Weight(2 * (base.ref_time + db(writes=1).ref_time))
    assert runtime.system.all_extrinsics_len.get() == len(body[1]) + len(body[2])


def test_a_second_one_is_stale_in_pool_and_block() -> None:
    chain = Chain.new()
    executed, _, _ = chain.draft(bare("claim", 4))
    with pytest.raises(TransactionRejected, match="outdated"):
        chain.draft(bare("claim", 4), bare("claim", 4))
    chain.state.apply(executed.changes)
    chain.parent = executed.header
    assert chain.refusal(bare("claim", 4), LOCAL)[0] == "Stale"


def test_a_foreign_block_is_refused_for_what_its_author_could_not_apply() -> None:
    chain = Chain.new()
    executed, body, _ = chain.draft(bare("claim", 4))
    stamp, claim = body
    wrong = [
        ([stamp, claim, claim], BlockFault.REFUSED),
        ([stamp, bare("never", 4)], BlockFault.REFUSED),
        ([stamp, claim, stamp], BlockFault.INHERENT),
        ([claim, stamp], BlockFault.INHERENT),
        ([claim], BlockFault.INHERENT),
        ([stamp], BlockFault.EXTRINSICS_ROOT),
    ]
    for given, fault in wrong:
        with pytest.raises(BlockRejected) as refused:
            SMALL.execute_block(chain.state, executed.header, given, {"now": 7})
        assert refused.value.fault is fault
    with pytest.raises(BlockRejected):
        SMALL.execute_block(chain.state, replace(executed.header, number=2), body, {"now": 7})
