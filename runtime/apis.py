"""Runtime APIs: what `state_call` answers, by name. Source: Polkadot specification, appendix C.

answer(state, header, "AccountNonceApi_account_nonce", account) -> SCALE bytes

A class is an API and a method a function: signatures are the wire format, for calls and for metadata V15.
"""

from dataclasses import replace

from runtime.frame.api import ApiSpec, ApiTrap, api_of
from runtime.frame.base import Call, DispatchInfo, RuntimeCall
from runtime.frame.declare import DispatchClass
from runtime.frame.metadata import v14, v15
from runtime.frame.state import State
from runtime.native import Bound, NativeRuntime
from runtime.pallets.babe import BabeConfiguration, Epoch
from runtime.pallets.transaction_payment import LENGTH_FEE, WEIGHT_FEE, FeeDetails
from runtime.primitives import session
from runtime.primitives.babe import Authorities
from runtime.primitives.header import Header
from runtime.primitives.membership import MEMBERSHIP_PROOF, MembershipProof, OpaqueValue
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.session import BABE_KEY, GRANDPA_KEY, KeyTypeId
from runtime.primitives.shapes import struct, u32, u64
from runtime.primitives.transaction import (
    Err,
    Ok,
    TransactionRejected,
    TransactionValidity,
    UncheckedExtrinsic,
)
from runtime.primitives.types import AccountId, Balance, Ed25519Public, Hash, Nonce, Slot, Weight
from runtime.primitives.validity import TransactionSource
from runtime.primitives.version import RuntimeVersion
from runtime.runtime import APIS, EXECUTIVE, EXTENSIONS, VERSION, AssayRuntime
from runtime.subnet_api import SubnetApi
from runtime.trail_api import ModelUpdatesApi, TrainingApi

METADATA_VERSIONS = [14, 15]
SESSION_KEYS = codec(session.SessionKeys)


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


class Core(Bound):
    """What runtime this is."""

    def version(self) -> RuntimeVersion:
        """Return the version of the runtime."""
        return self.runtime.system.version


class Metadata(Bound):
    """The runtime's description of itself."""

    def metadata(self) -> OpaqueMetadata:
        """Return the metadata, version 14."""
        return OpaqueMetadata(v14.metadata(self.runtime, self.native.executive.extensions))

    def metadata_at_version(self, version: u32) -> OpaqueMetadata | None:
        """Return the metadata of a version, None where it is not served."""
        match version:
            case 14:
                return self.metadata()
            case 15:
                extensions, apis = self.native.executive.extensions, self.native.apis
                return OpaqueMetadata(v15.metadata(self.runtime, extensions, apis))
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
            executive = self.native.executive
            return Ok(executive.validation(self.state, self.header).check(tx, source))
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
        decoded = self.native.executive.format.decode(uxt)
        found = _dispatch_info(self.runtime, decoded.call, len_)
        return found if decoded.signature else replace(found, partial_fee=0)

    def query_fee_details(self, uxt: UncheckedExtrinsic, len_: u32) -> FeeDetails:
        """Return what the fee of an extrinsic of this many bytes is made of."""
        decoded = self.native.executive.format.decode(uxt)
        if decoded.signature is None:
            return FeeDetails(None, 0)
        info, tip = self.runtime.info(decoded.call), decoded.signature.extra[TIP]
        return self.runtime.transaction_payment.details(info, len_, tip)

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

    def generate_key_ownership_proof(self, slot: Slot, authority_id: Ed25519Public) -> OpaqueValue | None:
        """Return the proof of who owned a key in a slot of the block's session; None elsewhere."""
        babe = self.runtime.babe
        if babe.epoch_at(slot) != babe.epoch_index.get():
            return None
        return _opaque(self.runtime.historical.prove(BABE_KEY, authority_id))


class GrandpaApi(Bound):
    """What voters on finality must know."""

    def grandpa_authorities(self) -> Authorities:
        """Return the voters and their weights."""
        return self.runtime.grandpa.authorities.get()

    def current_set_id(self) -> u64:
        """Return the number of the set of voters."""
        return self.runtime.grandpa.current_set_id.get()

    def generate_key_ownership_proof(self, set_id: u64, authority_id: Ed25519Public) -> OpaqueValue | None:
        """Return the proof of who owns a key of the current set; None for another set."""
        if set_id != self.runtime.grandpa.current_set_id.get():
            return None
        return _opaque(self.runtime.historical.prove(GRANDPA_KEY, authority_id))


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
        SubnetApi,
        ModelUpdatesApi,
        TrainingApi,
    )
)
assert [api.name for api in SERVED] == list(APIS), "runtime.py announces what is declared here, in this order"

TIP = [extension.name for extension in EXTENSIONS].index("ChargeTransactionPayment")
"""Where the tip is among the values of the extensions."""


NATIVE = NativeRuntime(EXECUTIVE, VERSION, SERVED)
"""This version."""


def answer(state: State, header: Header, name: str, argument: bytes) -> bytes:
    """Call a runtime API of this version on the state of a block.

    Raises: ApiNotFound, ApiTrap, DecodeError.
    """
    return NATIVE.answer(state, header, name, argument)


def _opaque(proof: MembershipProof | None) -> OpaqueValue | None:
    return None if proof is None else OpaqueValue(MEMBERSHIP_PROOF.encode(proof))


def _dispatch_info(runtime: AssayRuntime, call: Call, length: int) -> RuntimeDispatchInfo:
    info: DispatchInfo = runtime.info(call)
    fee = runtime.transaction_payment.details(info, length, 0)
    return RuntimeDispatchInfo(info.weight, info.class_, fee.total())
