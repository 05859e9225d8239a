"""Key pairs from secret URIs, as subkey reads them: `phrase//hard/soft`, `//Alice`, `0xseed//hard`.

The password after `///` belongs to the phrase. Source: sp_core::crypto SecretUri and DeriveJunction; BIP-39;
substrate-bip39 (the seed is stretched from the entropy, not from the words).
"""

import re
from dataclasses import dataclass, field
from typing import Literal

import bip39
import sr25519
from nacl.signing import SigningKey

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import write_compact

DEV_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
"""The phrase everybody knows; a URI that starts with a junction derives from it."""
MAX_SURI = 1024
"""characters; 24 words and a few junctions are far below"""

KeyKind = Literal["sr25519", "ed25519"]

_URI = re.compile(r"(?P<root>[^/]*)(?P<path>(?://?[^/]+)*)(?:///(?P<password>.*))?", re.DOTALL)
_JUNCTION = re.compile(r"/(/?)([^/]+)")
_SEED = re.compile(r"0x[0-9a-fA-F]{64}")
_CODE_SIZE = 32


class SuriError(ValueError):
    """The secret URI names no key; says why without repeating the secret."""


@dataclass(frozen=True, slots=True)
class Keypair:
    """A signing key. `secret` is the 32-byte seed (ed25519) or the 64-byte expanded key (sr25519)."""

    kind: KeyKind
    public: bytes
    secret: bytes = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """Return a 64-byte signature; sr25519 signatures differ from call to call."""
        if self.kind == "ed25519":
            return bytes(SigningKey(self.secret).sign(message).signature)
        return bytes(sr25519.sign((self.public, self.secret), message))

    @classmethod
    def from_seed(cls, seed: bytes, kind: KeyKind) -> "Keypair":
        """Return the key pair of a 32-byte seed."""
        if len(seed) != 32:
            raise SuriError(f"a seed has 32 bytes, not {len(seed)}")
        if kind == "ed25519":
            return cls(kind, bytes(SigningKey(seed).verify_key), seed)
        public, secret = sr25519.pair_from_seed(seed)
        return cls(kind, bytes(public), bytes(secret))

    @classmethod
    def from_suri(cls, suri: str, kind: KeyKind) -> "Keypair":
        """Return the key pair that a secret URI names.

        Raises: SuriError.
        """
        parts = _URI.fullmatch(suri) if len(suri) <= MAX_SURI else None
        if parts is None:
            raise SuriError(
                "a secret URI is a phrase or a 0x seed, then //hard or /soft junctions, then ///password"
            )
        seed = _root_seed(parts["root"].strip(), parts["password"] or "")
        junctions = [(bool(hard), _chain_code(name)) for hard, name in _JUNCTION.findall(parts["path"])]
        derive = _derive_ed25519 if kind == "ed25519" else _derive_sr25519
        return derive(seed, junctions)


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


def _derive_ed25519(seed: bytes, junctions: list[tuple[bool, bytes]]) -> Keypair:
    for hard, code in junctions:
        if not hard:
            raise SuriError("ed25519 keys have no soft (/) junctions; use //")
        seed = blake2_256(b"\x2cEd25519HDKD" + seed + code)
    return Keypair.from_seed(seed, "ed25519")


def _derive_sr25519(seed: bytes, junctions: list[tuple[bool, bytes]]) -> Keypair:
    public, secret = sr25519.pair_from_seed(seed)
    for hard, code in junctions:
        derive = sr25519.hard_derive_keypair if hard else sr25519.derive_keypair
        _, public, secret = derive((code, public, secret), b"")
    return Keypair("sr25519", bytes(public), bytes(secret))
