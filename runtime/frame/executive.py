"""The state transition: open a block, apply extrinsics, close it; and the validation of transactions.

Reads top to bottom: Executive.execute_block -> Execution.apply -> Execution.finish.
Source: Polkadot specification, sections 3.3 and 6.2; FRAME's Executive.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from runtime.frame.admission import Admission
from runtime.frame.base import Call, DispatchInfo, Runtime
from runtime.frame.declare import DispatchClass, Origin, Pays, SignedOrigin, Unsigned
from runtime.frame.errors import MISTAKES, DispatchError, InvalidDigest, RuntimeTrap
from runtime.frame.extension import Extension
from runtime.frame.extrinsic import Extrinsic, Format
from runtime.frame.state import Changes, Overlay, State
from runtime.primitives import crypto
from runtime.primitives.crypto import Claim, Verify
from runtime.primitives.header import Digest, Header, PreRuntime
from runtime.primitives.scale import DecodeError
from runtime.primitives.transaction import TransactionRejected, ValidTransaction
from runtime.primitives.trie import ordered_root
from runtime.primitives.types import ZERO_HASH, BlockNumber, Hash
from runtime.primitives.validity import TransactionSource


class BlockFault(enum.StrEnum):
    """Why a block does not execute."""

    UNDECODABLE = "undecodable extrinsic"
    REFUSED = "extrinsic refused"
    TRAP = "extrinsic breaks the runtime"
    INHERENT = "wrong inherents"
    NUMBER = "wrong number"
    DIGEST = "wrong digest"
    EXTRINSICS_ROOT = "wrong extrinsics root"
    STATE_ROOT = "wrong state root"


class BlockRejected(Exception):
    """A block breaks a rule of the state transition."""

    def __init__(self, fault: BlockFault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Executed:
    """What executing a block leads to."""

    header: Header
    changes: Changes


class Executive:
    """Runs blocks of one runtime version."""

    def __init__(self, runtime: type[Runtime], extensions: tuple[Extension, ...]) -> None:
        self.runtime = runtime
        self.extensions = extensions
        self.format = Format(runtime, extensions)

    def open(
        self,
        state: State,
        number: BlockNumber,
        parent: Hash,
        digest: Digest,
        verify: Verify = crypto.verify,
    ) -> "Execution":
        """Start block `number` on its parent's state."""
        return Execution(self, state, number, parent, digest, verify)

    def execute_block(
        self,
        state: State,
        header: Header,
        body: list[bytes],
        supplied: Mapping[str, Any],
        verify: Verify = crypto.verify,
    ) -> Executed:
        """Execute a foreign block on its parent's state; `supplied` is what this node knows for inherents.

        Raises: BlockRejected.
        """
        claimed, _ = header.unsealed()
        given = Digest([log for log in claimed.digest.logs if isinstance(log, PreRuntime)])
        try:
            execution = self.open(state, claimed.number, claimed.parent_hash, given, verify)
        except InvalidDigest as problem:
            raise BlockRejected(BlockFault.DIGEST, str(problem)) from problem
        decoded = [_decode(self.format, extrinsic) for extrinsic in body]
        execution.check_inherents(decoded, supplied)
        for encoded, extrinsic in zip(body, decoded, strict=True):
            execution.include(encoded, extrinsic)
        executed = execution.finish()
        _compare(executed.header, claimed)
        return executed

    def validate(
        self,
        state: State,
        parent: Header,
        extrinsic: bytes,
        verify: Verify = crypto.verify,
        source: TransactionSource = TransactionSource.External,
    ) -> ValidTransaction:
        """Say where a transaction would belong in a pool of this block's children.

        Raises: TransactionRejected.
        """
        return self.validation(state, parent, verify).check(extrinsic, source)

    def validation(self, state: State, parent: Header, verify: Verify = crypto.verify) -> "Validation":
        """Return a checker of transactions for the children of a block; it may be used many times."""
        runtime = self.runtime.reading(state)
        runtime.system.initialize(parent.number + 1, parent.hash(), Digest([]))
        return Validation(runtime, self.admission(runtime, verify))

    def admission(self, runtime: Runtime, verify: Verify) -> Admission:
        """Return the checks of transactions, bound to a block."""
        return Admission(self.format, self.extensions, runtime, verify)


class Validation:
    """Checks transactions against one state without changing it."""

    def __init__(self, runtime: Runtime, admission: Admission) -> None:
        self._runtime = runtime
        self._admission = admission

    def check(
        self, encoded: bytes, source: TransactionSource = TransactionSource.External
    ) -> ValidTransaction:
        """Say where a transaction belongs in the pool; what nobody signed depends on where it comes from.

        Raises: TransactionRejected.
        """
        extrinsic = self._admission.decode(encoded)
        if self._runtime.info(extrinsic.call).class_ is DispatchClass.Mandatory:
            raise TransactionRejected("invalid", "MandatoryValidation")
        if extrinsic.signature is None:
            return self._admission.admit_unsigned(extrinsic, source)
        submission = self._admission.admit(extrinsic, extrinsic.signature)
        return self._admission.rank(submission, extrinsic.signature.extra)

    def claims(self, body: list[bytes]) -> list[Claim]:
        """Return what the signatures of these extrinsics say, so that many can be verified at once.

        Execution asks for each claim again, and for others where a block changes what is signed along: so
        verdicts may be kept by claim and never be wrong. What cannot be verified is left out.
        """
        claims = []
        for encoded in body:
            try:
                extrinsic = self._admission.decode(encoded)
                if extrinsic.signature is not None:
                    claims.append(self._admission.claim(extrinsic, extrinsic.signature))
            except TransactionRejected:
                continue
        return claims


class Execution:
    """A block under execution."""

    def __init__(
        self,
        executive: Executive,
        state: State,
        number: BlockNumber,
        parent: Hash,
        digest: Digest,
        verify: Verify,
    ) -> None:
        self._executive = executive
        self._overlay = Overlay(state)
        self._body: list[bytes] = []
        self.runtime = executive.runtime(self._overlay)
        self._admission = executive.admission(self.runtime, verify)
        last = self.runtime.system.number.get()
        if number != last + 1:
            raise BlockRejected(BlockFault.NUMBER, f"{number} on the state of block {last}")
        migrated = self.runtime.upgrade()
        self.runtime.system.initialize(number, parent, digest)
        self.runtime.system.note_weight(migrated, DispatchClass.Mandatory)
        for pallet in self.runtime.pallets:
            weight = pallet.on_initialize(number)
            self.runtime.system.note_weight(weight, DispatchClass.Mandatory)
        self._number = number

    def inherents(self, supplied: Mapping[str, Any]) -> list[bytes]:
        """Return the extrinsics every block must start with, made from what the author knows."""
        made = []
        for pallet in self.runtime.pallets:
            inherent = pallet.create_inherent(supplied)
            if inherent is not None:
                name, arguments = inherent
                made.append(self._executive.format.bare(self.runtime.call(pallet.name, name, *arguments)))
        return made

    def check_inherents(self, body: list[Extrinsic], supplied: Mapping[str, Any]) -> None:
        """Check that a block's inherents are there, first and in order.

        Raises: BlockRejected.
        """
        bare = [extrinsic for extrinsic in body if self._is_inherent(extrinsic)]
        if body[: len(bare)] != bare:
            raise BlockRejected(BlockFault.INHERENT, "a transaction comes before an inherent")
        for pallet in self.runtime.pallets:
            optional = pallet.optional_inherent
            made = None if optional else pallet.create_inherent(supplied)
            name = made[0] if made else optional
            if name is None:
                continue
            if bare and self.runtime.is_call(bare[0].call, pallet, name):
                problem = pallet.check_inherent(bare.pop(0).call.arguments, supplied)
            else:
                problem = None if optional else f"no {name} where it belongs"
            if problem is not None:
                raise BlockRejected(BlockFault.INHERENT, f"{pallet.name}: {problem}")
        if bare:
            raise BlockRejected(BlockFault.INHERENT, f"{len(bare)} too many, or in the wrong order")

    def _is_inherent(self, extrinsic: Extrinsic) -> bool:
        """Tell inherents from transactions that need no signature."""
        return (
            extrinsic.signature is None
            and self.runtime.info(extrinsic.call).class_ is DispatchClass.Mandatory
        )

    def include(self, encoded: bytes, extrinsic: Extrinsic) -> None:
        """Apply an extrinsic of a foreign block.

        Raises: BlockRejected.
        """
        try:
            self._apply(encoded, extrinsic)
        except TransactionRejected as refused:
            detail = f"extrinsic {len(self._body)}: {refused.describe()}"
            raise BlockRejected(BlockFault.REFUSED, detail) from refused
        except RuntimeTrap as trap:
            detail = f"extrinsic {len(self._body)}: {trap}"
            raise BlockRejected(BlockFault.TRAP, detail) from trap

    def apply(self, encoded: bytes) -> DispatchError | None:
        """Apply an extrinsic; the result is the call's error, which costs the sender the fee all the same.

        Raises: TransactionRejected when the extrinsic may not be in this block, RuntimeTrap when it breaks
        the runtime; nothing has changed then.
        """
        return self._apply(encoded, self._admission.decode(encoded))

    def _apply(self, encoded: bytes, extrinsic: Extrinsic) -> DispatchError | None:
        self.runtime.extrinsic_index = len(self._body)
        self._overlay.begin()
        try:
            error = self._apply_decoded(extrinsic)
        except MISTAKES as mistake:
            self._overlay.rollback()
            raise RuntimeTrap(f"{type(mistake).__name__}: {mistake}") from mistake
        except BaseException:
            self._overlay.rollback()
            raise
        finally:
            self.runtime.extrinsic_index = None
        self._overlay.commit()
        self._body.append(encoded)
        return error

    def _apply_decoded(self, extrinsic: Extrinsic) -> DispatchError | None:
        signature = extrinsic.signature
        if self._is_inherent(extrinsic):
            self._apply_inherent(extrinsic.call)
            return None
        if signature is None:
            return self._apply_unsigned(extrinsic)
        submission = self._admission.admit(extrinsic, signature)
        if submission.info.class_ is DispatchClass.Mandatory:  # free and unlimited: only for inherents
            raise TransactionRejected("invalid", "BadMandatory")
        prepared = self._admission.prepare(submission, signature.extra)
        pays, error = self._dispatch(extrinsic.call, SignedOrigin(submission.sender))
        self._admission.settle(submission, signature.extra, prepared, pays)
        self._note_applied(submission.info, pays, error)
        return error

    def _apply_unsigned(self, extrinsic: Extrinsic) -> DispatchError | None:
        self._admission.admit_unsigned(extrinsic, TransactionSource.InBlock)
        info = self.runtime.info(extrinsic.call)
        self._admission.prepare_unsigned(info, extrinsic.length)
        pays, error = self._dispatch(extrinsic.call, Unsigned())
        self._note_applied(info, pays, error)
        return error

    def _dispatch(self, call: Call, origin: Origin) -> tuple[Pays, DispatchError | None]:
        try:
            return self.runtime.dispatch(call, origin), None
        except DispatchError as refused:
            return Pays.Yes, refused

    def _note_applied(self, info: DispatchInfo, pays: Pays, error: DispatchError | None) -> None:
        kind = None if error is None else self.runtime.error_kind(error)
        self.runtime.system.note_applied(info if pays is Pays.Yes else replace(info, pays_fee=pays), kind)

    def _apply_inherent(self, call: Call) -> None:
        info = self.runtime.info(call)
        try:
            self.runtime.dispatch(call, Unsigned())
        except DispatchError as refused:
            raise TransactionRejected("invalid", "BadMandatory") from refused
        self.runtime.system.note_weight(info.weight, DispatchClass.Mandatory)
        self.runtime.system.note_applied(info, None)

    def finish(self) -> Executed:
        """Close the block and return its header, not yet sealed, and its changes."""
        self.runtime.finalizing = True
        for pallet in self.runtime.pallets:
            pallet.on_finalize(self._number)
        number, parent, digest = self.runtime.system.finish(self._overlay.events)
        header = Header(parent, number, self._overlay.root(), ordered_root(self._body), digest)
        return Executed(header, self._overlay.changes)


def _decode(form: Format, encoded: bytes) -> Extrinsic:
    try:
        return form.decode(encoded)
    except DecodeError as malformed:
        raise BlockRejected(BlockFault.UNDECODABLE, str(malformed)) from malformed


def _compare(made: Header, claimed: Header) -> None:
    if made.digest != claimed.digest:
        raise BlockRejected(BlockFault.DIGEST, "the runtime's digest differs from the header's")
    if made.extrinsics_root != claimed.extrinsics_root:
        raise BlockRejected(BlockFault.EXTRINSICS_ROOT, f"0x{made.extrinsics_root.hex()} expected")
    if made.state_root != claimed.state_root:
        raise BlockRejected(BlockFault.STATE_ROOT, f"0x{made.state_root.hex()} expected")


def genesis_header(state_root: Hash) -> Header:
    """Return the header of block 0."""
    return Header(ZERO_HASH, 0, state_root, ordered_root([]), Digest([]))
