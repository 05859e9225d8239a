"""Noise_XX_25519_ChaChaPoly_SHA256: two sides learn each other's static key over a channel nobody else reads.

    initiator -> e        <- e, ee, s, es        -> s, se        then two ciphers, one for each direction

Source: The Noise Protocol Framework, revision 34, sections 5, 7 and 12.
"""

import hashlib
import hmac
from dataclasses import dataclass
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

PROTOCOL = b"Noise_XX_25519_ChaChaPoly_SHA256"
KEY_SIZE = 32
TAG_SIZE = 16
MAX_MESSAGE = 65_535
"""bytes of a Noise message, of the handshake or after it (section 3)"""
_LAST_NONCE = (1 << 64) - 1
"""Only for `rekey`."""
_NONCE = Struct("<4xQ")


class NoiseError(Exception):
    """The other side does not speak our protocol, is of another chain, or somebody changed a byte."""


class Cipher:
    """One direction of a channel: a key and how often it was used."""

    __slots__ = ("_aead", "nonce")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self.nonce = 0

    def encrypt(self, plaintext: bytes, associated: bytes | None = None) -> bytes:
        """Return the ciphertext of the next message, 16 bytes longer."""
        sealed = self._aead.encrypt(_NONCE.pack(self.nonce), plaintext, associated)
        self.nonce += 1
        return sealed

    def decrypt(self, ciphertext: bytes | memoryview, associated: bytes | None = None) -> bytes:
        """Return the plaintext of the next message.

        Raises: NoiseError.
        """
        try:
            opened = self._aead.decrypt(_NONCE.pack(self.nonce), ciphertext, associated)
        except InvalidTag as problem:
            raise NoiseError("a message does not open with the key of this connection") from problem
        self.nonce += 1
        return opened

    def rekey(self) -> None:
        """Replace the key by one that does not lead back to it; the nonce goes on."""
        key = self._aead.encrypt(_NONCE.pack(_LAST_NONCE), bytes(KEY_SIZE), None)[:KEY_SIZE]
        self._aead = ChaCha20Poly1305(key)


@dataclass(frozen=True, slots=True)
class Channel:
    """A finished handshake: a cipher for each direction, the other's static key, the transcript's hash."""

    sends: Cipher
    receives: Cipher
    remote_static: bytes
    transcript: bytes


class Handshake:
    """One side of an XX handshake; `write` and `read` take turns, the initiator writes first."""

    def __init__(self, *, initiator: bool, static: bytes, ephemeral: bytes, prologue: bytes) -> None:
        """`static` and `ephemeral` are X25519 secrets of 32 bytes; an ephemeral one is used once."""
        self._initiator = initiator
        self._static, self._ephemeral = static, ephemeral
        self._hash = self._chain = PROTOCOL  # of 32 bytes, so the name is its own hash
        self._cipher: Cipher | None = None
        self._remote_ephemeral = b""
        self._remote_static = b""
        self._turn = 0
        self._mix_hash(prologue)

    @property
    def is_done(self) -> bool:
        """Say whether all three messages have passed."""
        return self._turn == len(_MESSAGES)

    @property
    def writes_next(self) -> bool:
        """Say whether it is this side's turn to write."""
        return not self.is_done and (self._turn % 2 == 0) == self._initiator

    @property
    def is_encrypted_next(self) -> bool:
        """Say whether the next message's payload is encrypted: the first one's is not."""
        return self._turn > 0

    def write(self, payload: bytes = b"") -> bytes:
        """Return the next message, with a payload that is encrypted from the second message on."""
        assert self.writes_next, "the other side writes next"
        written = []
        for token in _MESSAGES[self._turn]:
            if token == "e":
                public = crypto_scalarmult_base(self._ephemeral)
                written.append(public)
                self._mix_hash(public)
            elif token == "s":
                written.append(self._encrypt(crypto_scalarmult_base(self._static)))
            else:
                self._mix_shared(token)
        self._turn += 1
        return b"".join([*written, self._encrypt(payload)])

    def read(self, message: bytes) -> bytes:
        """Return the payload of the other side's message.

        Raises: NoiseError.
        """
        assert not self.is_done, "the handshake is over"
        assert not self.writes_next, "this side writes next"
        for token in _MESSAGES[self._turn]:
            if token == "e":
                self._remote_ephemeral, message = _split(message, KEY_SIZE)
                self._mix_hash(self._remote_ephemeral)
            elif token == "s":
                sealed, message = _split(message, KEY_SIZE + TAG_SIZE)
                self._remote_static = self._decrypt(sealed)
            else:
                self._mix_shared(token)
        self._turn += 1
        return self._decrypt(message)

    def channel(self) -> Channel:
        """Return what the handshake has led to."""
        assert self.is_done, "three messages make a handshake"
        first, second = (Cipher(key) for key in _stretched(self._chain, b""))
        sends, receives = (first, second) if self._initiator else (second, first)
        return Channel(sends, receives, self._remote_static, self._hash)

    def _mix_shared(self, token: str) -> None:
        """Mix a Diffie-Hellman secret in; the token names the initiator's key first, then the responder's."""
        mine, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        secret = self._ephemeral if mine == "e" else self._static
        public = self._remote_ephemeral if theirs == "e" else self._remote_static
        try:
            shared = crypto_scalarmult(secret, public)
        except (CryptoError, RuntimeError) as problem:
            raise NoiseError("the other side's key is a point of low order") from problem
        self._chain, key = _stretched(self._chain, shared)
        self._cipher = Cipher(key)

    def _mix_hash(self, content: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + content).digest()

    def _encrypt(self, plaintext: bytes) -> bytes:
        written = plaintext if self._cipher is None else self._cipher.encrypt(plaintext, self._hash)
        self._mix_hash(written)
        return written

    def _decrypt(self, message: bytes) -> bytes:
        opened = message if self._cipher is None else self._cipher.decrypt(message, self._hash)
        self._mix_hash(message)
        return opened


_MESSAGES = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


def _split(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise NoiseError(f"a handshake message ends {size - len(message)} bytes early")
    return message[:size], message[size:]


def _stretched(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Return HKDF's two outputs of 32 bytes (section 4.3)."""
    extracted = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(extracted, b"\x01", "sha256")
    return first, hmac.digest(extracted, first + b"\x02", "sha256")
