"""What a transaction passes on its way into a block: its decoding, its signature, the extensions."""

from runtime.frame.base import Runtime
from runtime.frame.extension import Extension, Standing, Submission
from runtime.frame.extrinsic import Extrinsic, Format, Signature
from runtime.primitives.crypto import Claim, Verify
from runtime.primitives.scale import DecodeError
from runtime.primitives.transaction import FOREVER, TransactionRejected
from runtime.primitives.types import AccountId, Address32, Id


class Admission:
    """The checks of transactions, bound to a block; it changes nothing."""

    def __init__(
        self, form: Format, extensions: tuple[Extension, ...], runtime: Runtime, verify: Verify
    ) -> None:
        self._format = form
        self._runtime = runtime
        self._verify = verify
        self.extensions = [extension.bind(runtime) for extension in extensions]

    def decode(self, encoded: bytes) -> Extrinsic:
        """Decode what claims to be an extrinsic.

        Raises: TransactionRejected.
        """
        try:
            return self._format.decode(encoded)
        except DecodeError as malformed:
            raise TransactionRejected(
                "invalid", "Call", text=f"The extrinsic does not decode: {malformed}"
            ) from malformed

    def claim(self, extrinsic: Extrinsic, signature: Signature) -> Claim:
        """Return what an extrinsic's signature says; the block decides what is signed along with it.

        Raises: TransactionRejected.
        """
        if not isinstance(signature.address, Id | Address32):
            raise TransactionRejected("unknown", "CannotLookup")
        pairs = zip(self.extensions, signature.extra, strict=True)
        implied = tuple([extension.implied(extra) for extension, extra in pairs])
        payload = self._format.payload(extrinsic.call, signature.extra, implied)
        return Claim(signature.signature, payload, AccountId(signature.address._0))

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
        for extension, extra in zip(self.extensions, signature.extra, strict=True):
            extension.validate(submission, extra, standing)
        return submission, standing
