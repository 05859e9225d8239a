"""Session keys on disk, in Substrate's format: one file per key.

    name = hex(key type) + hex(public key)        content = a JSON string: secret URI or 0x seed

A keystore with a password keeps phrases without it, and both are needed to open a key.
Source: paritytech/polkadot-sdk substrate/client/keystore/src/local.rs.
"""

import json
import re

from chain.env import Disk, Rng
from chain.keys.pair import KeyKind, Keypair, SuriError, new_phrase, with_password

BABE_KEY = b"babe"
GRANDPA_KEY = b"gran"
KEY_KINDS: dict[bytes, KeyKind] = {BABE_KEY: "ed25519", GRANDPA_KEY: "ed25519"}
"""Which signature scheme a key type has on this chain."""

_NAME = re.compile(r"([0-9a-f]{8})([0-9a-f]{64})")


class KeystoreError(Exception):
    """A key is missing, unusable, or does not belong where it is; never contains a secret."""


class Keystore:
    """The keys of one node; `password` belongs to every phrase in it."""

    def __init__(self, disk: Disk, password: str | None = None) -> None:
        self._disk = disk
        self._password = password

    @property
    def has_password(self) -> bool:
        """Whether phrases are kept without their password."""
        return self._password is not None

    def insert(self, key_type: bytes, suri: str, public: bytes | None = None) -> bytes:
        """Store the key of a secret URI and return its public key; `public` is what the caller expects.

        Raises: KeystoreError.
        """
        found = self.public_of(key_type, suri, public)
        self._disk.replace(_name(key_type, found), json.dumps(suri).encode())
        return found

    def public_of(self, key_type: bytes, suri: str, public: bytes | None = None) -> bytes:
        """Return the public key that a secret URI would have here; `public` is what the caller expects.

        Raises: KeystoreError.
        """
        try:
            secret = suri if self._password is None else with_password(suri, self._password)
            pair = Keypair.from_suri(secret, _kind(key_type))
        except SuriError as problem:
            raise KeystoreError(f"cannot insert a {key_type.decode()} key: {problem}") from problem
        if public is not None and public != pair.public:
            raise KeystoreError(f"the secret belongs to 0x{pair.public.hex()}, not to 0x{public.hex()}")
        return pair.public

    def new_secret(self, rng: Rng) -> str:
        """Return a new random secret URI; a seed could take no password."""
        return new_phrase() if self._password is not None else "0x" + rng.token(32).hex()

    def public_keys(self, key_type: bytes) -> list[bytes]:
        """Return the public keys of a type, sorted."""
        found = [_NAME.fullmatch(name) for name in self._disk.names()]
        return [bytes.fromhex(match[2]) for match in found if match and bytes.fromhex(match[1]) == key_type]

    def keypair(self, key_type: bytes, public: bytes) -> Keypair:
        """Return a stored key.

        Raises: KeystoreError when it is not there, or its file does not hold this key.
        """
        name = _name(key_type, public)
        content = self._disk.read(name)
        if content is None:
            raise KeystoreError(f"the keystore has no {key_type.decode()} key 0x{public.hex()}")
        pair = _read(name, content, _kind(key_type), self._password)
        if pair.public != public and self._password is not None:
            raise KeystoreError(f"the password does not open key file {name}; give the one it was made with")
        if pair.public != public:
            found = f"0x{pair.public.hex()}"
            raise KeystoreError(
                f"without a password key file {name} opens to another key, {found}: "
                "give the password that it was made with, or restore the file"
            )
        return pair


def _read(name: str, content: bytes, kind: KeyKind, password: str | None) -> Keypair:
    try:
        suri = json.loads(content)
    except (ValueError, RecursionError) as problem:
        raise KeystoreError(f"key file {name} is corrupt: not JSON; restore it from your backup") from problem
    if not isinstance(suri, str):
        raise KeystoreError(f"key file {name} is corrupt: not a JSON string; restore it from your backup")
    locked = password is not None and not suri.startswith("0x")
    try:
        return Keypair.from_suri(with_password(suri, password or "") if locked else suri, kind)
    except SuriError as problem:
        raise KeystoreError(
            f"key file {name} is corrupt: {problem}; restore it from your backup"
        ) from problem


def _kind(key_type: bytes) -> KeyKind:
    if key_type not in KEY_KINDS:
        known = ", ".join(each.decode() for each in KEY_KINDS)
        raise KeystoreError(f"{key_type.decode('ascii', 'replace')!r} is no key type of this chain ({known})")
    return KEY_KINDS[key_type]


def _name(key_type: bytes, public: bytes) -> str:
    return key_type.hex() + public.hex()
