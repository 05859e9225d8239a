"""Key pairs from secret URIs, as subkey reads them: `phrase//hard/soft`, `//Alice`, `0xseed//hard`.

The password after `///` belongs to the phrase. Source: sp_core::crypto SecretUri and DeriveJunction; BIP-39;
substrate-bip39 (the seed is stretched from the entropy, not from the words).
"""

import re
from dataclasses import dataclass, field
from typing import Literal

import bip39
import sr25519
from coincurve import PrivateKey
from nacl.signing import SigningKey

from runtime.primitives.crypto import ecdsa_account
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import write_compact

DEV_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
"""The phrase everybody knows; a URI that starts with a junction derives from it."""
MAX_SURI = 1024
"""characters; 24 words and a few junctions are far below"""
SHORTEST = 47
"""characters of twelve words; a seed has 66"""

KeyKind = Literal["sr25519", "ed25519", "ecdsa"]

_URI = re.compile(r"(?P<root>[^/]*)(?P<path>(?://?[^/]+)*)(?:///(?P<password>.*))?", re.DOTALL)
_JUNCTION = re.compile(r"/(/?)([^/]+)")
_SEED = re.compile(r"0x[0-9a-fA-F]{64}")
_EXPANDED = re.compile(r"0x[0-9a-fA-F]{128}")
_CODE_SIZE = 32
_HARD: dict[KeyKind, bytes] = {"ed25519": b"\x2cEd25519HDKD", "ecdsa": b"\x34Secp256k1HDKD"}
"""What a hard junction hashes before seed and code, as SCALE text."""


class SuriError(ValueError):
    """The secret URI names no key; says why without repeating the secret."""


@dataclass(frozen=True, slots=True)
class Keypair:
    """A signing key. `secret` is the 32-byte seed (ed25519, ecdsa) or the 64-byte expanded key (sr25519).

    `public` has 32 bytes, or 33 (ecdsa, compressed).
    """

    kind: KeyKind
    public: bytes
    secret: bytes = field(repr=False)

    @property
    def account(self) -> bytes:
        """Return the 32 bytes the chain knows this key by."""
        return ecdsa_account(self.public) if self.kind == "ecdsa" else self.public

    def sign(self, message: bytes) -> bytes:
        """Return a signature of 64 bytes, or 65 (ecdsa); sr25519 signatures differ from call to call."""
        if self.kind == "ed25519":
            return bytes(SigningKey(self.secret).sign(message).signature)
        if self.kind == "ecdsa":
            return PrivateKey(self.secret).sign_recoverable(blake2_256(message), hasher=None)
        return bytes(sr25519.sign((self.public, self.secret), message))

    @classmethod
    def from_seed(cls, seed: bytes, kind: KeyKind) -> "Keypair":
        """Return the key pair of a 32-byte seed."""
        if len(seed) != 32:
            raise SuriError(f"a seed has 32 bytes, not {len(seed)}")
        if kind == "ed25519":
            return cls(kind, bytes(SigningKey(seed).verify_key), seed)
        if kind == "ecdsa":
            return cls(kind, _ecdsa_public(seed), seed)
        public, secret = sr25519.pair_from_seed(seed)
        return cls(kind, bytes(public), bytes(secret))

    @classmethod
    def from_suri(cls, suri: str, kind: KeyKind) -> "Keypair":
        """Return the key pair that a secret URI names.

        Raises: SuriError.
        """
        if not suri:  # it would be the development phrase, which everybody knows
            raise SuriError("an empty secret URI names no key")
        if any("\ud800" <= letter <= "\udfff" for letter in suri):  # what Python makes of other bytes
            raise SuriError("a secret URI is UTF-8 text")
        parts = _URI.fullmatch(suri) if len(suri) <= MAX_SURI else None
        if parts is None:
            raise SuriError(
                "a secret URI is a phrase or a 0x seed, then //hard or /soft junctions, then ///password"
            )
        root = parts["root"].strip()
        junctions = [(bool(hard), _chain_code(name)) for hard, name in _JUNCTION.findall(parts["path"])]
        if kind == "sr25519" and _EXPANDED.fullmatch(root):
            return _derive_sr25519(_expanded_pair(root, parts["password"]), junctions)
        seed = _root_seed(root, parts["password"] or "")
        if kind == "sr25519":
            return _derive_sr25519(sr25519.pair_from_seed(seed), junctions)
        return _derive_hard(kind, seed, junctions)


def new_phrase() -> str:
    """Return twelve random English BIP-39 words."""
    return str(bip39.bip39_generate(12, "en"))


def is_private(suri: str) -> bool:
    """Say whether a secret URI has a password, a phrase or a seed that not everybody knows."""
    root = suri.partition("/")[0].strip()
    return "///" in suri or (root != DEV_PHRASE and len(root) >= SHORTEST)


def with_password(suri: str, password: str) -> str:
    """Return a secret URI with a password; one that names a seed or has a password cannot take another.

    Raises: SuriError.
    """
    if "///" in suri:
        raise SuriError("the secret URI has a password already")
    if suri.startswith("0x"):
        raise SuriError("a password goes with a phrase, not with a seed")
    return f"{suri}///{password}"


def plain_seed(suri: str) -> bytes | None:
    """Return the seed a secret URI without junctions names; None where it names no seed."""
    parts = _URI.fullmatch(suri)
    if parts is None or parts["path"] or _EXPANDED.fullmatch(parts["root"].strip()):
        return None
    return _root_seed(parts["root"].strip(), parts["password"] or "")


def _root_seed(root: str, password: str) -> bytes:
    if root.startswith("0x"):
        if not _SEED.fullmatch(root):
            raise SuriError("a seed is 0x and 64 hexadecimal digits")
        if password:
            raise SuriError("a password goes with a phrase, not with a seed")
        return bytes.fromhex(root[2:])
    try:
        return bytes(bip39.bip39_to_mini_secret(root or DEV_PHRASE, password, "en"))
    except ValueError as problem:
        raise SuriError("the phrase is not 12 to 24 English BIP-39 words with a valid checksum") from problem


def _chain_code(name: str) -> bytes:
    """Return 32 bytes for a junction: a number as u64, a text as SCALE, hashed when longer."""
    out = bytearray()
    if name.isascii() and name.isdigit() and int(name) < 1 << 64:
        out += int(name).to_bytes(8, "little")
    else:
        text = name.encode()
        write_compact(len(text), out)
        out += text
    return blake2_256(bytes(out)) if len(out) > _CODE_SIZE else bytes(out.ljust(_CODE_SIZE, b"\0"))


def _ecdsa_public(secret: bytes) -> bytes:
    try:
        return PrivateKey(secret).public_key.format()
    except ValueError as problem:
        raise SuriError("the seed is no secp256k1 secret: zero, or not below the order") from problem


def _expanded_pair(root: str, password: str | None) -> tuple[bytes, bytes]:
    if password:
        raise SuriError("a password goes with a phrase, not with a seed")
    secret = bytes.fromhex(root[2:])
    try:
        return bytes(sr25519.public_from_secret_key(secret)), secret
    except ValueError as problem:
        raise SuriError("the 64 bytes are no expanded sr25519 key") from problem


def _derive_hard(kind: KeyKind, seed: bytes, junctions: list[tuple[bool, bytes]]) -> Keypair:
    for hard, code in junctions:
        if not hard:
            raise SuriError(f"{kind} keys have no soft (/) junctions; use //")
        seed = blake2_256(_HARD[kind] + seed + code)
    return Keypair.from_seed(seed, kind)


def _derive_sr25519(pair: tuple[bytes, bytes], junctions: list[tuple[bool, bytes]]) -> Keypair:
    public, secret = pair
    for hard, code in junctions:
        derive = sr25519.hard_derive_keypair if hard else sr25519.derive_keypair
        _, public, secret = derive((code, public, secret), b"")
    return Keypair("sr25519", bytes(public), bytes(secret))
