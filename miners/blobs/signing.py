"""Signed requests: who asks, whom, for what and when. A copy of one, or a changed one, is worth nothing.

    Assay-Signed-By    public key of the caller's hotkey, 64 lower-case hex digits
    Assay-Signed-For   public key of the server's hotkey, likewise: no server can use it at another
    Assay-Timestamp    ms since the Unix epoch, decimal
    Assay-Nonce        16 random bytes as hex; a server takes each once
    Assay-Signature    sr25519 over SCALE(tag, genesis hash, method, path, blake2-256 of the body,
                       signed by, signed for, timestamp, nonce), 128 hex digits

The body of a PUT must have the hash its path names, so a signature is checked before a body is read.
"""

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from runtime.primitives.crypto import verify_sr25519
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Fixed, u64
from runtime.primitives.types import AccountId, Hash

TAG = "assay-blob/1"
SIGNED_BY, SIGNED_FOR = "Assay-Signed-By", "Assay-Signed-For"
TIMESTAMP, NONCE, SIGNATURE = "Assay-Timestamp", "Assay-Nonce", "Assay-Signature"
HEADERS = (SIGNED_BY, SIGNED_FOR, TIMESTAMP, NONCE, SIGNATURE)
WINDOW_MS = 30_000
"""How far the clocks of caller and server may be apart; a nonce is remembered for as long"""
MOST_NONCES = 2_048
"""Remembered of one caller: with 256 callers at most 50 MiB"""
MOST_CALLERS = 1_024
"""Remembered before those that have been silent are forgotten; a subnet has at most 256 at a time"""
NONCE_SIZE = 16
"""bytes"""
EMPTY = blake2_256(b"")
"""Hash of no body."""
_SIZES = {SIGNED_BY: 32, SIGNED_FOR: 32, NONCE: NONCE_SIZE, SIGNATURE: 64}
_MESSAGE = codec(
    tuple[str, Hash, str, str, Hash, AccountId, AccountId, u64, Annotated[bytes, Fixed(NONCE_SIZE)]]
)
_HEX = frozenset("0123456789abcdef")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")
"""Sixteen digits of ms last until the year 300,000."""


class BadRequest(Exception):
    """A request that is not served; `status` is HTTP's, the text one line: what, why, what to do."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Signer(Protocol):
    """A hotkey that signs; chain.client.Chain is one."""

    @property
    def hotkey(self) -> bytes:
        """Public key, 32 bytes."""
        ...

    @property
    def genesis_hash(self) -> bytes:
        """Hash of block 0 of the chain both sides are on."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return an sr25519 signature, 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What the headers of a signed request say; nothing of it is proven yet."""

    signer: bytes
    receiver: bytes
    timestamp: int  # ms since the Unix epoch
    nonce: bytes
    signature: bytes

    def message(self, genesis: bytes, method: str, path: str, body: bytes) -> bytes:
        """Return the bytes that are signed; `body` is the blake2-256 of the request's body."""
        signer, receiver = AccountId(self.signer), AccountId(self.receiver)
        return _MESSAGE.encode(
            (TAG, Hash(genesis), method, path, Hash(body), signer, receiver, self.timestamp, self.nonce)
        )

    def headers(self) -> dict[str, str]:
        """Return the headers that carry this claim."""
        return {
            SIGNED_BY: self.signer.hex(),
            SIGNED_FOR: self.receiver.hex(),
            TIMESTAMP: str(self.timestamp),
            NONCE: self.nonce.hex(),
            SIGNATURE: self.signature.hex(),
        }


def sign(signer: Signer, receiver: bytes, method: str, path: str, body: bytes = EMPTY) -> dict[str, str]:
    """Return the headers of a signed request; `body` is the blake2-256 of what is sent."""
    now, nonce = time.time_ns() // 1_000_000, secrets.token_bytes(NONCE_SIZE)
    unsigned = Claim(signer.hotkey, receiver, now, nonce, b"")
    signature = signer.sign(unsigned.message(signer.genesis_hash, method, path, body))
    return Claim(signer.hotkey, receiver, now, nonce, signature).headers()


def read(headers: Mapping[str, str]) -> Claim | None:
    """Return what the headers claim; None for a request without any of them.

    Raises: BadRequest.
    """
    found = {name: headers[name] for name in HEADERS if name in headers}
    if not found:
        return None
    missing = [name for name in HEADERS if name not in found]
    if missing:
        raise BadRequest(400, f"{missing[0]} is missing: send all five Assay headers, or none")
    raw = {name: _unhex(name, found[name], size) for name, size in _SIZES.items()}
    digits = found[TIMESTAMP]
    if not _DECIMAL.fullmatch(digits):
        raise BadRequest(400, f"{TIMESTAMP} is not a decimal number of milliseconds")
    return Claim(raw[SIGNED_BY], raw[SIGNED_FOR], int(digits), raw[NONCE], raw[SIGNATURE])


def _unhex(name: str, text: str, size: int) -> bytes:
    if len(text) != 2 * size or not _HEX.issuperset(text):
        raise BadRequest(400, f"{name} is not {2 * size} lower-case hex digits")
    return bytes.fromhex(text)


class Doorman:
    """Decides for one server whether a claim is true, meant for it, fresh and new."""

    def __init__(
        self, genesis: bytes, receiver: bytes, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        """`clock` tells ms since the Unix epoch."""
        self._genesis = genesis
        self._receiver = receiver
        self._clock = clock
        self._seen: dict[bytes, OrderedDict[bytes, int]] = {}  # signer: nonce: ms when it is too old anyway

    def greet(self, claim: Claim) -> None:
        """Refuse what costs nothing to refuse.

        Raises: BadRequest.
        """
        if claim.receiver != self._receiver:
            raise BadRequest(
                403, f"{SIGNED_FOR} is another server: this one's hotkey is {self._receiver.hex()}"
            )
        apart = claim.timestamp - self._clock()
        if abs(apart) > WINDOW_MS:
            raise BadRequest(
                401, f"the clocks are {apart / 1000:+.1f} s apart, at most {WINDOW_MS // 1000} s: set yours"
            )
        if claim.nonce in self._seen.get(claim.signer, ()):
            raise BadRequest(401, "this request was made before: sign a new one with another nonce")

    def admit(self, claim: Claim, method: str, path: str, body: bytes = EMPTY) -> None:
        """Refuse what its hotkey has not signed, and what it has signed is taken once.

        Raises: BadRequest.
        """
        self.greet(claim)
        nonces = self._fresh(claim.signer)
        if len(nonces) >= MOST_NONCES:
            raise BadRequest(429, f"more than {MOST_NONCES} requests within {2 * WINDOW_MS // 1000} s: wait")
        message = claim.message(self._genesis, method, path, body)
        if not verify_sr25519(claim.signature, message, claim.signer):
            raise BadRequest(401, f"{SIGNATURE} does not fit what was asked: sign as docs/blobs.md says")
        nonces[claim.nonce] = claim.timestamp + WINDOW_MS
        self._seen[claim.signer] = nonces
        if len(self._seen) > MOST_CALLERS:  # those that have left the subnet are never asked about again
            self._seen = {signer: kept for signer in self._seen if (kept := self._fresh(signer))}

    def _fresh(self, signer: bytes) -> OrderedDict[bytes, int]:
        """Return the nonces of a caller that could be used again, had they been forgotten."""
        nonces, now = self._seen.get(signer, OrderedDict()), self._clock()
        while nonces and next(iter(nonces.values())) < now:
            nonces.popitem(last=False)
        if len(nonces) >= MOST_NONCES:
            return OrderedDict((nonce, until) for nonce, until in nonces.items() if until >= now)
        return nonces
