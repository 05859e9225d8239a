"""What a transaction passes on its way into a block: its decoding, its signature, the extensions."""

from typing import Any

from runtime.frame.base import Runtime
from runtime.frame.errors import DispatchError
from runtime.frame.extension import Extension, Standing, Submission
from runtime.frame.extrinsic import Extrinsic, Format, Signature, payload
from runtime.primitives.crypto import Claim, Verify
from runtime.primitives.scale import DecodeError
from runtime.primitives.transaction import FOREVER, TransactionRejected, Undecodable
from runtime.primitives.types import AccountId, Address32, Id


class Admission:
    """The checks of transactions, and what their extensions do, bound to a block."""

    def __init__(
        self, form: Format, extensions: tuple[Extension, ...], runtime: Runtime, verify: Verify
    ) -> None:
        self._format = form
        self._runtime = runtime
        self._verify = verify
        bound = [extension.bind(runtime) for extension in extensions]
        implicits = [runtime.codecs.of(extension.implicit) for extension in extensions]
        placed = list(enumerate(bound))
        self._implying = [
            (at, each.implied, implicits[at].encoder) for at, each in placed if implicits[at].least
        ]
        self._validating = [(at, each.validate) for at, each in placed if _overrides(each, "validate")]
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
        implied = [encode(imply(extra[at])) for at, imply, encode in self._implying]
        return Claim(signature.signature, payload(extrinsic.signed, implied), AccountId(signature.address._0))

    def admit(self, extrinsic: Extrinsic, signature: Signature) -> tuple[Submission, Standing]:
        """Check signature and extensions.

        Raises: TransactionRejected.
        """
        claim = self.claim(extrinsic, signature)
        if not self._verify(*claim):
            raise TransactionRejected("invalid", "BadProof")
        info = self._runtime.info(extrinsic.call)
        submission = Submission(claim.signer, extrinsic.call, info, extrinsic.length)
        standing = Standing(0, [], [], FOREVER)
        for at, validate in self._validating:
            validate(submission, signature.extra[at], standing)
        return submission, standing

    def prepare(self, submission: Submission, extra: tuple[Any, ...]) -> None:
        """Make the changes that stay even if the call fails."""
        for at, prepare in self._preparing:
            prepare(submission, extra[at])

    def settle(self, submission: Submission, extra: tuple[Any, ...], error: DispatchError | None) -> None:
        """Make the changes that follow the call."""
        for at, settle in self._settling:
            settle(submission, extra[at], error)


def _overrides(extension: Extension, method: str) -> bool:
    return getattr(type(extension), method) is not getattr(Extension, method)
