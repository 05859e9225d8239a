"""A state of nonces, so that the pool can be driven without a chain: the runtime's answers, nothing more."""

from dataclasses import dataclass, field

from runtime.primitives.hashing import blake2_256
from runtime.primitives.transaction import FOREVER, TransactionRejected, ValidTransaction
from runtime.primitives.types import Hash
from runtime.primitives.validity import TransactionSource

ALICE, BOB, CAROL = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32


@dataclass
class Ledger:
    """Knows every account's nonce; `broken` transactions are refused for the reason given."""

    nonces: dict[bytes, int] = field(default_factory=dict)
    broken: dict[bytes, TransactionRejected] = field(default_factory=dict)
    longevity: int = FOREVER
    validations: int = 0

    def validate(self, extrinsic: bytes, source: TransactionSource) -> ValidTransaction:
        """Judge `account || nonce || priority || memo` as CheckNonce would."""
        self.validations += 1
        if extrinsic in self.broken:
            raise self.broken[extrinsic]
        account, nonce = extrinsic[:32], int.from_bytes(extrinsic[32:36], "little")
        expected = self.nonces.get(account, 0)
        if nonce < expected:
            raise TransactionRejected("invalid", "Stale")
        requires = [tag(account, nonce - 1)] if nonce > expected else []
        priority = int.from_bytes(extrinsic[36:44], "little")
        return ValidTransaction(priority, requires, [tag(account, nonce)], self.longevity, True)

    def include(self, *extrinsics: bytes) -> None:
        """Count these as executed."""
        for extrinsic in extrinsics:
            self.nonces[extrinsic[:32]] = int.from_bytes(extrinsic[32:36], "little") + 1

    def revert(self, *extrinsics: bytes) -> None:
        """Count these, oldest first, as never executed."""
        for extrinsic in reversed(extrinsics):
            self.nonces[extrinsic[:32]] = int.from_bytes(extrinsic[32:36], "little")


@dataclass
class Seconds:
    """A clock that is moved by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def tag(account: bytes, nonce: int) -> bytes:
    """Return the tag of a nonce."""
    return account + nonce.to_bytes(4, "little")


def extrinsic(account: bytes, nonce: int, priority: int = 1, memo: bytes = b"") -> bytes:
    """Return the bytes of a transaction."""
    return tag(account, nonce) + priority.to_bytes(8, "little") + memo


def hash_of(transaction: bytes) -> Hash:
    """Return a transaction's hash."""
    return Hash(blake2_256(transaction))


def block(number: int) -> Hash:
    """Return some block hash."""
    return Hash(blake2_256(b"block" + number.to_bytes(4, "little")))
