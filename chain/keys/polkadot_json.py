"""Keys exported by polkadot.js and the wallets that follow it, format version 3.

    encoded = base64(salt 32 | N u32 | p u32 | r u32 | nonce 24 | box)
    box     = xsalsa20-poly1305 of pkcs8 = header 16 | secret | divider 5 | public

Source: polkadot-js/common packages/util-crypto/src/json and packages/keyring/src/pair/decode.ts.
"""

import base64
import hashlib
import json
from typing import Any, get_args

import sr25519
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from chain.keys.pair import KeyKind, Keypair, SuriError
from runtime.primitives import ss58

MAX_SIZE = 64 << 10
"""characters of an export; a real one has about 500"""
ENCRYPTION = ["scrypt", "xsalsa20-poly1305"]
SCRYPT_PARAMETERS = frozenset(
    {(1 << 13, 10, 8), (1 << 14, 5, 8), (1 << 15, 3, 8), (1 << 15, 1, 8), (1 << 16, 2, 8), (1 << 17, 1, 8)}
)
"""(N, p, r) that polkadot.js writes or accepts; a stranger's file does not choose how long we compute."""
SCRYPT_MEMORY = 160 << 20
"""bytes; the largest of these needs 128 MiB"""

_HEADER = bytes([48, 83, 2, 1, 1, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32])
_DIVIDER = bytes([161, 35, 3, 33, 0])
_SALT, _SCRYPT, _NONCE = 32, 44, 24
_SIZES: dict[KeyKind, tuple[int, int]] = {"sr25519": (64, 32), "ed25519": (64, 32), "ecdsa": (32, 33)}
"""Bytes of secret and public key."""


class PolkadotJsonError(Exception):
    """The export cannot be read; never contains a secret."""


def open_export(text: str, password: str) -> Keypair:
    """Return the key of an export.

    Raises: PolkadotJsonError.
    """
    exported = _parse(text)
    kind = _kind(exported)
    pair = _pair(_decrypt(_encoded(exported), password), kind)
    address = exported.get("address")
    if isinstance(address, str) and not address.startswith("0x") and not _names(address, pair):
        raise PolkadotJsonError("the export is corrupt: its address belongs to another key")
    return pair


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_SIZE:
        raise PolkadotJsonError(f"an export is no larger than {MAX_SIZE >> 10} KiB")
    try:
        exported = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise PolkadotJsonError("the export is not JSON") from problem
    if not isinstance(exported, dict) or not isinstance(exported.get("encoding"), dict):
        raise PolkadotJsonError("the file is no polkadot.js export: it has no encoding")
    return exported


def _kind(exported: dict[str, Any]) -> KeyKind:
    encoding = exported["encoding"]
    if encoding.get("version") != "3" or encoding.get("type") != ENCRYPTION:
        raise PolkadotJsonError(
            "only exports of version 3, encrypted with scrypt, can be read; export it again"
        )
    for kind in get_args(KeyKind):
        if encoding.get("content") == ["pkcs8", kind]:
            return kind  # type: ignore[no-any-return]
    raise PolkadotJsonError("the export holds no sr25519, ed25519 or ecdsa key")


def _encoded(exported: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(exported.get("encoded", ""), validate=True)
    except (TypeError, ValueError) as problem:
        raise PolkadotJsonError("the export is corrupt: encoded is not base64") from problem


def _decrypt(encoded: bytes, password: str) -> bytes:
    if len(encoded) < _SCRYPT + _NONCE:
        raise PolkadotJsonError("the export is corrupt: it is too short")
    n, p, r = (int.from_bytes(encoded[at : at + 4], "little") for at in range(_SALT, _SCRYPT, 4))
    if (n, p, r) not in SCRYPT_PARAMETERS:
        raise PolkadotJsonError(f"the export asks for scrypt N={n} p={p} r={r}, which no wallet writes")
    key = hashlib.scrypt(
        password.encode(), salt=encoded[:_SALT], n=n, r=r, p=p, maxmem=SCRYPT_MEMORY, dklen=32
    )
    nonce, box = encoded[_SCRYPT : _SCRYPT + _NONCE], encoded[_SCRYPT + _NONCE :]
    try:
        return SecretBox(key).decrypt(box, nonce)
    except CryptoError as problem:
        raise PolkadotJsonError("the password does not open this export") from problem


def _pair(content: bytes, kind: KeyKind) -> Keypair:
    secret_size, public_size = _SIZES[kind]
    ends = len(_HEADER) + secret_size
    secret, public = content[len(_HEADER) : ends], content[ends + len(_DIVIDER) :]
    framed = content.startswith(_HEADER) and content[ends : ends + len(_DIVIDER)] == _DIVIDER
    if not framed or len(public) != public_size:
        raise PolkadotJsonError(f"the export is corrupt: it frames no {kind} key")
    try:
        pair = _sr25519_pair(secret) if kind == "sr25519" else Keypair.from_seed(secret[:32], kind)
    except (SuriError, ValueError) as problem:
        raise PolkadotJsonError("the export is corrupt: its secret is no key") from problem
    if pair.public != public:
        raise PolkadotJsonError("the export is corrupt: its secret belongs to another public key")
    return pair


def _sr25519_pair(secret: bytes) -> Keypair:
    """Return the pair of a secret in ed25519's scaling, which is how polkadot.js keeps it."""
    public, expanded = sr25519.pair_from_ed25519_secret_key(secret)
    return Keypair("sr25519", bytes(public), bytes(expanded))


def _names(address: str, pair: Keypair) -> bool:
    try:
        return ss58.decode(address)[1] in (pair.account, pair.public)
    except ss58.Ss58Error:
        return False
