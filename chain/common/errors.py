"""Errors that cross the rooms of the node; each says which rule was broken."""

import enum

from runtime.primitives.types import Hash


class StorageError(Exception):
    """The database cannot be opened, read or written; the node must stop."""


class UnknownBlock(LookupError):
    """This node has no header of that block."""

    def __init__(self, block: Hash) -> None:
        super().__init__(f"Header was not found in the database: 0x{block.hex()}")
        self.block = block


class StateDiscarded(LookupError):
    """The block is known, its state has been pruned."""

    def __init__(self, block: Hash) -> None:
        super().__init__(f"State already discarded for 0x{block.hex()}")
        self.block = block


class TrieTooFar(StateDiscarded):
    """The state can be read, but to make its trie again is more than one question may cost."""

    def __init__(self) -> None:
        LookupError.__init__(
            self, "Too much has changed since that block to prove its state: ask at a newer one"
        )


class SyncRefused(Exception):
    """The node must not get to the head in the way it was told to; says why, and what to do."""


class SubmitError(Exception):
    """The pool refuses a transaction; the three fields are the JSON-RPC error object as clients know it."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(f"{code}: {message}" if data is None else f"{code}: {message}: {data}")
        self.code = code
        self.message = message
        self.data = data


class BlockFlaw(enum.StrEnum):
    """Why a block is refused, in words every implementation can share."""

    BAD_PRE_DIGEST = "bad pre-digest"
    SLOT_NOT_INCREASING = "slot not increasing"
    SLOT_AHEAD = "slot not begun"
    SLOT_IN_FUTURE = "slot in the future"
    WRONG_AUTHOR = "wrong author"
    BAD_VRF = "bad VRF proof"
    BAD_SEAL = "bad seal"
    BESIDE_CHECKPOINT = "beside a checkpoint"


class InvalidBlock(Exception):
    """A block breaks a rule; whoever sent it is at fault."""

    def __init__(self, reason: BlockFlaw, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class SlotAhead(InvalidBlock):
    """The block is good but for its slot, which is the next one: it may wait until that begins."""

    def __init__(self, slot: int) -> None:
        super().__init__(BlockFlaw.SLOT_AHEAD, f"slot {slot} is the next one")
        self.slot = slot


class ExcessBlock(Exception):
    """A block that is not executed as it stands: its author has sealed others for its slot."""

    def __init__(self, slot: int) -> None:
        super().__init__(f"one more block for slot {slot}, and nothing that counts is built on it")
        self.slot = slot


class RuntimeMissing(Exception):
    """This node cannot execute what comes next; says which runtime is wanted, and what to do."""


class PeerArgumentError(ValueError):
    """The operator names a peer that cannot be used; says what one looks like, or what to do."""
