"""Runtime APIs: what `state_call` answers, by name. Source: Polkadot specification, appendix C.

answer(state, header, "AccountNonceApi_account_nonce", account) -> SCALE bytes

A class is an API and a method a function: signatures are the wire format, for calls and for metadata V15.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from runtime.frame.api import ApiSpec, FunctionSpec, api_of
from runtime.frame.base import Call, DispatchInfo, RuntimeCall
from runtime.frame.declare import DispatchClass
from runtime.frame.metadata import v14, v15
from runtime.frame.state import Overlay, State
from runtime.pallets.babe import BabeConfiguration, Epoch
from runtime.pallets.transaction_payment import LENGTH_FEE, WEIGHT_FEE, FeeDetails
from runtime.primitives import session
from runtime.primitives.babe import Authorities
from runtime.primitives.header import Header
from runtime.primitives.scale import Codec, DecodeError, Input, codec
from runtime.primitives.session import KeyTypeId
from runtime.primitives.shapes import struct, u32, u64
from runtime.primitives.transaction import (
    Err,
    Ok,
    TransactionRejected,
    TransactionValidity,
    UncheckedExtrinsic,
)
from runtime.primitives.types import AccountId, Balance, Hash, Nonce, Slot, Weight
from runtime.primitives.validity import TransactionSource
from runtime.primitives.version import RuntimeVersion
from runtime.runtime import APIS, EXECUTIVE, EXTENSIONS, AssayRuntime

METADATA_VERSIONS = [14, 15]
SESSION_KEYS = codec(session.SessionKeys)


class ApiNotFound(KeyError):
    """The runtime has no such API."""


class ApiTrap(Exception):
    """The runtime has such an API, but it cannot answer from state alone."""


@struct("sp_core::OpaqueMetadata")
class OpaqueMetadata:
    """Metadata, magic number first."""

    _0: bytes


@struct("pallet_transaction_payment::types::RuntimeDispatchInfo")
class RuntimeDispatchInfo:
    """Weight, class and fee of an extrinsic; the fee is in planck, tip excluded."""

    weight: Weight
    class_: DispatchClass
    partial_fee: Balance


@dataclass(frozen=True, slots=True)
class Bound:
    """What every API has: the runtime bound to the state of a block, and that block's header."""

    runtime: AssayRuntime
    state: State
    header: Header


class Core(Bound):
    """What runtime this is."""

    def version(self) -> RuntimeVersion:
        """Return the version of the runtime."""
        return self.runtime.system.version


class Metadata(Bound):
    """The runtime's description of itself."""

    def metadata(self) -> OpaqueMetadata:
        """Return the metadata, version 14."""
        return OpaqueMetadata(v14.metadata(self.runtime, EXTENSIONS))

    def metadata_at_version(self, version: u32) -> OpaqueMetadata | None:
        """Return the metadata of a version, None where it is not served."""
        match version:
            case 14:
                return self.metadata()
            case 15:
                return OpaqueMetadata(v15.metadata(self.runtime, EXTENSIONS, SERVED))
        return None

    def metadata_versions(self) -> list[u32]:
        """Return the versions served."""
        return METADATA_VERSIONS


class TaggedTransactionQueue(Bound):
    """What a transaction pool asks."""

    def validate_transaction(
        self, source: TransactionSource, tx: UncheckedExtrinsic, block_hash: Hash
    ) -> TransactionValidity:
        """Say where a transaction belongs in the pool, or why it does not."""
        try:
            return Ok(EXECUTIVE.validate(self.state, self.header, tx))
        except TransactionRejected as refused:
            return Err(refused.error())


class AccountNonceApi(Bound):
    """The nonce of an account."""

    def account_nonce(self, account: AccountId) -> Nonce:
        """Return the nonce the account's next transaction must have."""
        return self.runtime.system.next_nonce(account)


class TransactionPaymentApi(Bound):
    """What an extrinsic costs."""

    def query_info(self, uxt: UncheckedExtrinsic, len_: u32) -> RuntimeDispatchInfo:
        """Return weight, class and fee of an extrinsic of this many bytes."""
        decoded = EXECUTIVE.format.decode(uxt)
        return _dispatch_info(self.runtime, decoded.call, len_)

    def query_fee_details(self, uxt: UncheckedExtrinsic, len_: u32) -> FeeDetails:
        """Return what the fee of an extrinsic of this many bytes is made of."""
        decoded = EXECUTIVE.format.decode(uxt)
        tip = decoded.signature.extra[TIP] if decoded.signature else 0
        return self.runtime.transaction_payment.details(self.runtime.info(decoded.call), len_, tip)

    def query_weight_to_fee(self, weight: Weight) -> Balance:
        """Return the fee for a weight, before the multiplier."""
        return weight.ref_time * WEIGHT_FEE

    def query_length_to_fee(self, length: u32) -> Balance:
        """Return the fee for a number of bytes."""
        return length * LENGTH_FEE


class TransactionPaymentCallApi(Bound):
    """What a call costs when it is made by a signed extrinsic."""

    def query_call_info(self, call: RuntimeCall, len_: u32) -> RuntimeDispatchInfo:
        """Return weight, class and fee of a call in an extrinsic of this many bytes."""
        return _dispatch_info(self.runtime, call, len_)

    def query_call_fee_details(self, call: RuntimeCall, len_: u32) -> FeeDetails:
        """Return what the fee of a call in an extrinsic of this many bytes is made of."""
        return self.runtime.transaction_payment.details(self.runtime.info(call), len_, 0)

    def query_weight_to_fee(self, weight: Weight) -> Balance:
        """Return the fee for a weight, before the multiplier."""
        return weight.ref_time * WEIGHT_FEE

    def query_length_to_fee(self, length: u32) -> Balance:
        """Return the fee for a number of bytes."""
        return length * LENGTH_FEE


class BabeApi(Bound):
    """What authors of blocks must know."""

    def configuration(self) -> BabeConfiguration:
        """Return slots, epochs and the current authorities."""
        return self.runtime.babe.configuration()

    def current_epoch_start(self) -> Slot:
        """Return the slot in which the current epoch began."""
        return self.runtime.babe.current_epoch().start_slot

    def current_epoch(self) -> Epoch:
        """Return the epoch of the block."""
        return self.runtime.babe.current_epoch()

    def next_epoch(self) -> Epoch:
        """Return the epoch after the current one, which is announced already."""
        return self.runtime.babe.next_epoch()


class GrandpaApi(Bound):
    """What voters on finality must know."""

    def grandpa_authorities(self) -> Authorities:
        """Return the voters and their weights."""
        return self.runtime.grandpa.authorities.get()

    def current_set_id(self) -> u64:
        """Return the number of the set of voters."""
        return self.runtime.grandpa.current_set_id.get()


class SessionKeys(Bound):
    """The keys of a validator's node."""

    def generate_session_keys(self, seed: bytes | None) -> bytes:
        """Make new keys in the keystore and return the public ones; state alone has no keystore."""
        raise ApiTrap("a runtime call has no keystore: author_rotateKeys makes new keys")

    def decode_session_keys(self, encoded: bytes) -> list[tuple[bytes, KeyTypeId]] | None:
        """Return each public key with its type, None where the bytes are no session keys."""
        try:
            keys = SESSION_KEYS.decode(encoded)
        except DecodeError:
            return None
        return [(key, kind) for kind, key in keys.typed()]


SERVED: tuple[ApiSpec, ...] = tuple(
    api_of(each)
    for each in (
        Core,
        Metadata,
        TaggedTransactionQueue,
        AccountNonceApi,
        TransactionPaymentApi,
        TransactionPaymentCallApi,
        BabeApi,
        GrandpaApi,
        SessionKeys,
    )
)
assert [api.name for api in SERVED] == list(APIS), "runtime.py announces what is declared here, in this order"

TIP = [extension.name for extension in EXTENSIONS].index("ChargeTransactionPayment")
"""Where the tip is among the values of the extensions."""


def answer(state: State, header: Header, name: str, argument: bytes) -> bytes:
    """Call a runtime API on the state of a block.

    Raises: ApiNotFound, ApiTrap, DecodeError.
    """
    if name not in _table():
        raise ApiNotFound(name)
    function = _table()[name]
    source = Input(argument)
    arguments = [each.read(source) for each in function.inputs]
    if source.left():
        raise DecodeError(f"{source.left()} bytes are left over after the arguments of {name}")
    bound = function.declared(AssayRuntime(Overlay(state)), state, header)
    return function.output.encode(function.spec.run(bound, *arguments))


@dataclass(frozen=True, slots=True)
class _Function:
    """A function with its codecs compiled."""

    declared: type
    spec: FunctionSpec
    inputs: list[Codec[Any]]
    output: Codec[Any]


@cache
def _table() -> dict[str, _Function]:
    return {f"{api.name}_{each.name}": _compile(api, each) for api in SERVED for each in api.functions}


def _compile(api: ApiSpec, function: FunctionSpec) -> _Function:
    codecs = AssayRuntime.codecs
    inputs = [codecs.of(annotation) for _, annotation in function.inputs]
    return _Function(api.declared, function, inputs, codecs.of(function.output))


def _dispatch_info(runtime: AssayRuntime, call: Call, length: int) -> RuntimeDispatchInfo:
    info: DispatchInfo = runtime.info(call)
    fee = runtime.transaction_payment.details(info, length, 0)
    return RuntimeDispatchInfo(info.weight, info.class_, fee.total())
