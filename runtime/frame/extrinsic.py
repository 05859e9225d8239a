"""Extrinsics, version 4.

Source: Polkadot specification, section 3.3.3; sp_runtime::generic::UncheckedExtrinsic.
"""

from typing import Any

from runtime.frame.base import Call, Runtime, RuntimeCall
from runtime.frame.extension import Extension, adds_bytes
from runtime.frame.memo import LENGTH, Memo
from runtime.primitives.crypto import Ecdsa, Ed25519, MultiSignature, Sr25519
from runtime.primitives.hashing import blake2_256
from runtime.primitives.record import record
from runtime.primitives.scale import DecodeError, Input, codec, write_compact
from runtime.primitives.transaction import unframed
from runtime.primitives.types import AccountId, Id, MultiAddress

VERSION = 4
SIGNED_BIT = 0x80
RAW_PAYLOAD_LIMIT = 256
"""bytes; a longer signing payload is replaced by its blake2-256"""
KEPT = 10_000
"""Decoded extrinsics that are remembered: pool, author and importer see the same bytes, one after another."""

ADDRESS = codec(MultiAddress)
SIGNATURE = codec(MultiSignature)


@record
class Signature:
    """Who signed, how, and the extensions' values in order."""

    address: Any
    signature: Ed25519 | Sr25519 | Ecdsa
    extra: tuple[Any, ...]


@record
class Extrinsic:
    """A decoded extrinsic; `length` counts its bytes with the length prefix.

    `signed` is what of its bytes the signature covers: call ++ extra.
    """

    signature: Signature | None
    call: Call
    length: int
    signed: bytes


class Format:
    """Encodes and decodes the extrinsics of one runtime."""

    def __init__(self, runtime: type[Runtime], extensions: tuple[Extension, ...]) -> None:
        self._extras = [runtime.codecs.of(extension.extra) for extension in extensions]
        self._sent = [at for at, extension in enumerate(extensions) if adds_bytes(extension.extra)]
        self._implicits = [runtime.codecs.of(extension.implicit) for extension in extensions]
        self._call = runtime.codecs.of(RuntimeCall)
        self._runtime = runtime
        self._known = Memo(lambda encoded: self.read(encoded), KEPT, self._is_shareable)

    def decode(self, encoded: bytes) -> Extrinsic:
        """Decode an extrinsic with its length prefix.

        Raises: DecodeError.
        """
        found: Extrinsic = self._known[encoded]
        return found

    def _is_shareable(self, encoded: bytes, extrinsic: Extrinsic) -> bool:
        """Say whether nobody who holds this signed extrinsic can change it, as a list in it could be."""
        target = self._runtime.targets[extrinsic.call.pallet, extrinsic.call.index]
        return len(encoded) <= LENGTH and extrinsic.signature is not None and target.codec.constant

    def forget(self) -> None:
        """Remember no extrinsic; to measure what decoding costs."""
        self._known.clear()

    def read(self, encoded: bytes) -> Extrinsic:
        """Decode an extrinsic and remember nothing.

        Raises: DecodeError.
        """
        source = unframed(encoded)
        version = source.take(1)[0]
        if version & ~SIGNED_BIT != VERSION:
            raise DecodeError(f"extrinsic version {version & ~SIGNED_BIT} is not {VERSION}")
        signature, start = None, source.offset
        if version & SIGNED_BIT:
            address, proof = ADDRESS.read(source), SIGNATURE.read(source)
            start = source.offset
            signature = Signature(address, proof, self._read_extra(source))
        end = source.offset
        call = self._call.read(source)
        if source.left():
            raise DecodeError(f"{source.left()} bytes are left over after the call")
        return Extrinsic(signature, call, len(encoded), encoded[end:] + encoded[start:end])

    def _read_extra(self, source: Input) -> tuple[Any, ...]:
        extra: list[Any] = [()] * len(self._extras)
        for at in self._sent:
            extra[at] = self._extras[at].read(source)
        return tuple(extra)

    def bare(self, call: Call) -> bytes:
        """Encode an unsigned extrinsic, such as an inherent."""
        return _prefixed(bytes([VERSION]) + self._call.encode(call))

    def signed(self, call: Call, signer: AccountId, signature: Any, extra: tuple[Any, ...]) -> bytes:
        """Encode a signed extrinsic."""
        head = bytes([VERSION | SIGNED_BIT]) + ADDRESS.encode(Id(signer)) + SIGNATURE.encode(signature)
        return _prefixed(head + self._extra_bytes(extra) + self._call.encode(call))

    def payload(self, call: Call, extra: tuple[Any, ...], implied: tuple[Any, ...]) -> bytes:
        """Return the bytes that are signed: call ++ extra ++ implied, hashed when long."""
        encoded = [codec.encode(value) for codec, value in zip(self._implicits, implied, strict=True)]
        return payload(b"".join((self._call.encode(call), self._extra_bytes(extra), *encoded)))

    def _extra_bytes(self, extra: tuple[Any, ...]) -> bytes:
        out = bytearray()
        for each, value in zip(self._extras, extra, strict=True):
            each.write(value, out)
        return bytes(out)


def payload(whole: bytes) -> bytes:
    """Return the bytes that are signed for call ++ extra ++ implied."""
    return whole if len(whole) <= RAW_PAYLOAD_LIMIT else blake2_256(whole)


def _prefixed(body: bytes) -> bytes:
    out = bytearray()
    write_compact(len(body), out)
    return bytes(out) + body
