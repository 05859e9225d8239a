"""Runtime APIs: what `state_call` answers, by name. Source: Polkadot specification, appendix C.

answer(state, header, "AccountNonceApi_account_nonce", account) -> SCALE bytes
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from runtime.frame.base import DispatchInfo
from runtime.frame.declare import DispatchClass
from runtime.frame.metadata import metadata
from runtime.frame.state import Overlay, State
from runtime.pallets.babe import BabeConfiguration, Epoch
from runtime.pallets.transaction_payment import FeeDetails
from runtime.primitives.babe import Authorities
from runtime.primitives.header import Header
from runtime.primitives.scale import DecodeError, Input, codec, read_compact
from runtime.primitives.shapes import struct, u32, u64
from runtime.primitives.transaction import TransactionRejected, ValidTransaction
from runtime.primitives.types import AccountId, Balance, Hash, Weight
from runtime.primitives.version import RuntimeVersion
from runtime.runtime import EXECUTIVE, EXTENSIONS, AssayRuntime

METADATA_VERSIONS = [14]
LENGTH = codec(u32)


class ApiNotFound(KeyError):
    """The runtime has no such API."""


@struct("pallet_transaction_payment::types::RuntimeDispatchInfo")
class RuntimeDispatchInfo:
    """Weight, class and fee of an extrinsic; the fee is in planck, tip excluded."""

    weight: Weight
    class_: DispatchClass
    partial_fee: Balance


@dataclass(frozen=True, slots=True)
class Context:
    """A runtime bound to the state of a block, and that block's header."""

    runtime: AssayRuntime
    state: State
    header: Header


@dataclass(frozen=True, slots=True)
class Api:
    """One function: how its arguments decode, what it does, how its result encodes."""

    read: Callable[[Input], tuple[Any, ...]]
    run: Callable[..., Any]
    returns: Any


def answer(state: State, header: Header, name: str, argument: bytes) -> bytes:
    """Call a runtime API on the state of a block.

    Raises: ApiNotFound, DecodeError.
    """
    api = _table().get(name)
    if api is None:
        raise ApiNotFound(name)
    source = Input(argument)
    arguments = api.read(source)
    if source.left():
        raise DecodeError(f"{source.left()} bytes are left over after the arguments of {name}")
    context = Context(AssayRuntime(Overlay(state)), state, header)
    result = api.run(context, *arguments)
    return result if api.returns is None else AssayRuntime.codecs.of(api.returns).encode(result)


@cache
def _table() -> dict[str, Api]:
    return {
        "Core_version": Api(_takes(), lambda at: at.runtime.system.version, RuntimeVersion),
        "Metadata_metadata": Api(_takes(), _metadata, bytes),
        "Metadata_metadata_versions": Api(_takes(), lambda at: METADATA_VERSIONS, list[u32]),
        "Metadata_metadata_at_version": Api(_takes(u32), _metadata_at_version, bytes | None),
        "AccountNonceApi_account_nonce": Api(
            _takes(AccountId), lambda at, who: at.runtime.system.next_nonce(who), u32
        ),
        "TransactionPaymentApi_query_info": Api(_read_extrinsic_and_length, _query_info, RuntimeDispatchInfo),
        "TransactionPaymentApi_query_fee_details": Api(
            _read_extrinsic_and_length, _query_fee_details, FeeDetails
        ),
        "TaggedTransactionQueue_validate_transaction": Api(_read_validation, _validate, None),
        "BabeApi_configuration": Api(_takes(), lambda at: at.runtime.babe.configuration(), BabeConfiguration),
        "BabeApi_current_epoch_start": Api(
            _takes(), lambda at: at.runtime.babe.current_epoch().start_slot, u64
        ),
        "BabeApi_current_epoch": Api(_takes(), lambda at: at.runtime.babe.current_epoch(), Epoch),
        "BabeApi_next_epoch": Api(_takes(), lambda at: at.runtime.babe.next_epoch(), Epoch),
        "GrandpaApi_grandpa_authorities": Api(
            _takes(), lambda at: at.runtime.grandpa.authorities.get(), Authorities
        ),
        "GrandpaApi_current_set_id": Api(_takes(), lambda at: at.runtime.grandpa.current_set_id.get(), u64),
    }


def _takes(*annotations: Any) -> Callable[[Input], tuple[Any, ...]]:
    readers = [codec(annotation) for annotation in annotations]
    return lambda source: tuple([reader.read(source) for reader in readers])


def _read_opaque_extrinsic(source: Input) -> bytes:
    """Read an extrinsic with its length prefix, prefix included."""
    start = source.offset
    source.take(read_compact(source))
    return source.data[start : source.offset]


def _read_extrinsic_and_length(source: Input) -> tuple[bytes, int]:
    return _read_opaque_extrinsic(source), LENGTH.read(source)


def _read_validation(source: Input) -> tuple[int, bytes, Hash]:
    return source.take(1)[0], _read_opaque_extrinsic(source), Hash(source.take(32))


def _metadata(at: Context) -> bytes:
    return metadata(at.runtime, EXTENSIONS)


def _metadata_at_version(at: Context, version: int) -> bytes | None:
    return _metadata(at) if version in METADATA_VERSIONS else None


def _info(at: Context, extrinsic: bytes) -> tuple[DispatchInfo, Balance]:
    decoded = EXECUTIVE.format.decode(extrinsic)
    tip = decoded.signature.extra[7] if decoded.signature else 0
    return at.runtime.info(decoded.call), tip


def _query_info(at: Context, extrinsic: bytes, length: int) -> RuntimeDispatchInfo:
    info, _ = _info(at, extrinsic)
    fee = at.runtime.transaction_payment.details(info, length, 0)
    return RuntimeDispatchInfo(info.weight, info.class_, fee.total())


def _query_fee_details(at: Context, extrinsic: bytes, length: int) -> FeeDetails:
    info, tip = _info(at, extrinsic)
    return at.runtime.transaction_payment.details(info, length, tip)


def _validate(at: Context, source: int, extrinsic: bytes, block: Hash) -> bytes:
    try:
        valid = EXECUTIVE.validate(at.state, at.header, extrinsic)
    except TransactionRejected as refused:
        return b"\x01" + refused.encode()
    return b"\x00" + codec(ValidTransaction).encode(valid)
