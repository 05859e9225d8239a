"""What a transaction passes on its way into a block: its decoding, its signature, the extensions."""

from typing import Any

from runtime.frame.base import DispatchInfo, Runtime
from runtime.frame.declare import Pays
from runtime.frame.extension import Extension, Standing, Submission
from runtime.frame.extrinsic import Extrinsic, Format, Signature, payload
from runtime.primitives.crypto import Claim, Verify
from runtime.primitives.scale import DecodeError
from runtime.primitives.transaction import FOREVER, TransactionRejected, Undecodable, ValidTransaction
from runtime.primitives.types import AccountId, Address32, Id
from runtime.primitives.validity import TransactionSource

Prepared = dict[int, Any]
"""What extensions, by their places, have to say to themselves after the call."""


class Admission:
    """The checks of transactions, and what their extensions do, bound to a block."""

    def __init__(
        self, form: Format, extensions: tuple[Extension, ...], runtime: Runtime, verify: Verify
    ) -> None:
        self._format = form
        self._runtime = runtime
        self._verify = verify
        self._bound = bound = [extension.bind(runtime) for extension in extensions]
        implicits = [runtime.codecs.of(extension.implicit) for extension in extensions]
        placed = list(enumerate(bound))
        self._implying = [
            (at, each.implied, implicits[at].encoder) for at, each in placed if implicits[at].least
        ]
        self._implied: list[Any] = []  # by the last transaction, and as it is signed
        self._implied_bytes = b""
        self._checking = [(at, each.check) for at, each in placed if _overrides(each, "check")]
        self._ranking = [(at, each.rank) for at, each in placed if _overrides(each, "rank")]
        self._preparing = [(at, each.prepare) for at, each in placed if _overrides(each, "prepare")]
        self._settling = [(at, each.settle) for at, each in placed if _overrides(each, "settle")]

    def decode(self, encoded: bytes) -> Extrinsic:
        """Decode what claims to be an extrinsic.

        Raises: TransactionRejected.
        """
        try:
            return self._format.decode(encoded)
        except DecodeError as malformed:
            raise Undecodable(str(malformed)) from malformed

    def claim(self, extrinsic: Extrinsic, signature: Signature) -> Claim:
        """Return what an extrinsic's signature says; the block decides what is signed along with it.

        Raises: TransactionRejected.
        """
        if not isinstance(signature.address, Id | Address32):
            raise TransactionRejected("unknown", "CannotLookup")
        extra = signature.extra
        implied = [imply(extra[at]) for at, imply, _ in self._implying]
        if implied != self._implied:  # hardly ever: most transactions of a block imply the same
            self._implied = implied
            self._implied_bytes = b"".join(
                encode(value) for (_, _, encode), value in zip(self._implying, implied, strict=True)
            )
        message = payload(extrinsic.signed + self._implied_bytes)
        return Claim(signature.signature, message, AccountId(signature.address._0))

    def admit(self, extrinsic: Extrinsic, signature: Signature) -> Submission:
        """Check signature and extensions.

        Raises: TransactionRejected.
        """
        claim = self.claim(extrinsic, signature)
        if not self._verify(*claim):
            raise TransactionRejected("invalid", "BadProof")
        info = self._runtime.info(extrinsic.call)
        submission = Submission(claim.signer, extrinsic.call, info, extrinsic.length)
        for at, check in self._checking:
            check(submission, signature.extra[at])
        return submission

    def rank(self, submission: Submission, extra: tuple[Any, ...]) -> ValidTransaction:
        """Say where a transaction that is admitted belongs in a pool."""
        standing = Standing(0, [], [], FOREVER)
        for at, rank in self._ranking:
            rank(submission, extra[at], standing)
        return ValidTransaction(
            standing.priority, standing.requires, standing.provides, standing.longevity, propagate=True
        )

    def prepare(self, submission: Submission, extra: tuple[Any, ...]) -> Prepared:
        """Make the changes that stay even if the call fails."""
        return {at: prepare(submission, extra[at]) for at, prepare in self._preparing}

    def settle(self, submission: Submission, extra: tuple[Any, ...], prepared: Prepared, pays: Pays) -> None:
        """Make the changes that follow the call."""
        for at, settle in self._settling:
            settle(submission, extra[at], prepared.get(at), pays)

    def admit_unsigned(self, extrinsic: Extrinsic, source: TransactionSource) -> ValidTransaction:
        """Check a transaction that nobody signed.

        Raises: TransactionRejected.
        """
        info = self._runtime.info(extrinsic.call)
        for each in self._bound:
            each.validate_unsigned(info, extrinsic.length)
        return self._runtime.validate_unsigned(extrinsic.call, source)

    def prepare_unsigned(self, info: DispatchInfo, length: int) -> None:
        """Make the changes that stay even if the call fails."""
        for each in self._bound:
            each.prepare_unsigned(info, length)


def _overrides(extension: Extension, method: str) -> bool:
    return getattr(type(extension), method) is not getattr(Extension, method)
