"""The signed extensions every Substrate chain has, in template order.

Source: frame_system's extensions; a permuted list breaks the signatures of clients that hard-code the order.
"""

import enum
from functools import cached_property
from typing import Annotated, Any

from runtime.frame.base import DispatchInfo
from runtime.frame.declare import DispatchClass
from runtime.frame.extension import Extension, Standing, Submission
from runtime.pallets.system import System
from runtime.primitives.era import Era, MortalEra
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Compact, Fixed, u32
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import AccountId, Hash, Nonce, Weight

MAX_NONCE_LEAD = 1024
"""A nonce further ahead of the account than this cannot become ready in reasonable time."""
TAG = codec(tuple[AccountId, Nonce])


class _SystemExtension(Extension):
    system: System


class CheckNonZeroSender(Extension):
    """Refuses the all-zero account, which nobody can hold the key of."""

    def check(self, submission: Submission, extra: Any) -> None:
        """Refuse the zero account."""
        if submission.sender == bytes(32):
            raise TransactionRejected("invalid", "BadSigner")


class CheckSpecVersion(_SystemExtension):
    """Binds a signature to the runtime's behaviour."""

    implicit = u32

    def implied(self, extra: Any) -> int:
        """Return the spec version."""
        return self.system.version.spec_version


class CheckTxVersion(_SystemExtension):
    """Binds a signature to the meaning of call indices."""

    implicit = u32

    def implied(self, extra: Any) -> int:
        """Return the transaction version."""
        return self.system.version.transaction_version


class CheckGenesis(_SystemExtension):
    """Binds a signature to this chain."""

    implicit = Hash

    def implied(self, extra: Any) -> Hash:
        """Return the genesis hash."""
        return self.system.genesis_hash()


class CheckMortality(_SystemExtension):
    """Binds a signature to a window of blocks on this fork."""

    extra = Era
    implicit = Hash

    def implied(self, extra: MortalEra) -> Hash:
        """Return the hash of the block the era was born in."""
        born = self.system.block_hash.get(extra.birth(self.system.number.get()))
        if born is None:
            raise TransactionRejected("invalid", "AncientBirthBlock")
        return born

    def rank(self, submission: Submission, extra: MortalEra, standing: Standing) -> None:
        """Tell the pool how many blocks are left."""
        if extra.period:
            now = self.system.number.get()
            standing.longevity = min(standing.longevity, extra.birth(now) + extra.period - now)


class CheckNonce(_SystemExtension):
    """Orders the transactions of an account and forbids their replay."""

    extra = Compact[u32]

    def check(self, submission: Submission, extra: int) -> None:
        """Refuse a used nonce, and one that is far ahead."""
        expected = self.system.next_nonce(submission.sender)
        if extra < expected:
            raise TransactionRejected("invalid", "Stale")
        if extra > expected + MAX_NONCE_LEAD:
            raise TransactionRejected("invalid", "Future")

    def rank(self, submission: Submission, extra: int, standing: Standing) -> None:
        """Ask the pool to wait for the nonces in between."""
        standing.provides.append(TAG.encode((submission.sender, extra)))
        if extra > self.system.next_nonce(submission.sender):
            standing.requires.append(TAG.encode((submission.sender, extra - 1)))

    def prepare(self, submission: Submission, extra: int) -> None:
        """Use the nonce up."""
        if not self.system.use_nonce(submission.sender, extra):
            raise TransactionRejected("invalid", "Future")


class CheckWeight(_SystemExtension):
    """Keeps a block within its limits of weight and length."""

    def check(self, submission: Submission, extra: Any) -> None:
        """Refuse what no block could hold, and what this block cannot hold any more."""
        self.validate_unsigned(submission.info, submission.length)

    def validate_unsigned(self, info: DispatchInfo, length: int) -> None:
        """Refuse the same of what nobody signed."""
        name, base, most, longest = self._limits[info.class_._value_]
        total = self.system.all_extrinsics_len.get() + length
        if total > longest:
            raise TransactionRejected("invalid", "ExhaustsResources")
        if most is not None:
            wanted = getattr(self.system.block_weight.get(), name) + base + info.weight
            if wanted.ref_time > most.ref_time or wanted.proof_size > most.proof_size:
                raise TransactionRejected("invalid", "ExhaustsResources")

    def prepare(self, submission: Submission, extra: Any) -> None:
        """Count the extrinsic."""
        self.prepare_unsigned(submission.info, submission.length)

    def prepare_unsigned(self, info: DispatchInfo, length: int) -> None:
        """Count what nobody signed."""
        _, base, _, _ = self._limits[info.class_._value_]
        self.system.note_weight(base + info.weight, info.class_)
        self.system.all_extrinsics_len.put(self.system.all_extrinsics_len.get() + length)

    @cached_property
    def _limits(self) -> list[tuple[str, Weight, Weight | None, int]]:
        """Return by class: what it is called, its base weight, and how much weight and length it may use."""
        weights, lengths = self.system.block_weights.per_class, self.system.block_length.max
        names = [each.name.lower() for each in DispatchClass]
        limits = [getattr(weights, name) for name in names]
        return [
            (name, each.base_extrinsic, each.max_total, getattr(lengths, name))
            for name, each in zip(names, limits, strict=True)
        ]


class MetadataHashMode(enum.Enum):
    """Whether the signer committed to a hash of the metadata."""

    __scale_path__ = "frame_metadata_hash_extension::Mode"

    Disabled = 0
    Enabled = 1


class CheckMetadataHash(Extension):
    """Lets hardware wallets commit to the metadata they showed; this runtime has no such hash yet."""

    extra = MetadataHashMode
    implicit = Annotated[bytes, Fixed(32)] | None

    def check(self, submission: Submission, extra: MetadataHashMode) -> None:
        """Refuse a commitment that cannot be checked."""
        if extra is not MetadataHashMode.Disabled:
            raise TransactionRejected("unknown", "CannotLookup")

    def implied(self, extra: MetadataHashMode) -> bytes | None:
        """Return no hash."""
        return None
