"""What a peer can do wrong, what it costs, and what the operator of this node may do about it.

Costs are Substrate's: a peer begins at 0, is banned below 71 % of -2^31, and half of what it has lost comes
back in 139 s. Only what no honest peer does is dear: a partition makes honest peers silent, not false.
Source: paritytech/polkadot-sdk substrate/client/network/src/peer_store.rs, sync and GRANDPA reputations.
"""

import enum
from dataclasses import dataclass

FATAL = 1 << 31


class Fault(enum.StrEnum):
    """What was wrong, in words for the log."""

    GENESIS = "another genesis"
    VERSION = "another version of the protocol"
    MALFORMED = "a frame that breaks the format"
    TOO_LARGE = "a message beyond the limit of its channel"
    UNDECODABLE = "a message that does not decode"
    UNKNOWN_CHANNEL = "a channel this node does not know"
    TOO_MANY = "more messages than its share"
    BUG = "a message this node cannot handle"
    NOT_ASKED = "an answer nobody asked for"
    TIMEOUT = "no answer in time"
    FALSE_CLAIM = "less than it said it has"
    USELESS = "an answer without what it said it has"
    WRONG_BLOCKS = "blocks other than those asked for"
    BAD_BLOCK = "a block that breaks the rules"
    FUTURE_BLOCK = "a block of a slot far ahead"
    EXCESS_BLOCK = "a third block of one author in one slot"
    BESIDE_CHECKPOINT = "a chain beside a checkpoint"
    OTHER_FINALITY = "a chain without our final block"
    BAD_JUSTIFICATION = "a justification that proves nothing"
    FALSE_STATE = "a range of the state that is not the state's"
    STINGY = "far less than fits into an answer"
    BAD_TRANSACTION = "a transaction that is wrong or forged, as far as this node can tell"
    STALE_TRANSACTION = "a transaction that is not valid here"
    FORGED = "a vote that was not signed"
    BAD_COMMIT = "a commit that proves nothing"
    OUT_OF_DATE = "a vote of a round long over"
    OUT_OF_TURN = "a vote of a round far ahead"
    BACKWARDS = "a neighbour packet that goes backwards"
    FORGED_RECORD = "a peer record that its peer has not signed, or that no peer would sign"
    STALE_RECORD = "a peer record past its time"

    @property
    def cost(self) -> int:
        """What is taken from the peer's reputation."""
        return TERMS[self].cost

    @property
    def advice(self) -> str:
        """What the operator of this node may do once it has led to the end of a connection."""
        return TERMS[self].advice


@dataclass(frozen=True, slots=True)
class Terms:
    """What follows from a fault."""

    cost: int
    advice: str


OTHER_CHAIN = "it keeps another chain: compare the genesis both nodes print, and --chain and --bootnodes"
OTHER_VERSION = "its program is another version than this one: upgrade the older of the two"
HOSTILE = "nothing: it is broken or means harm, and comes back only after its ban"
OVERLOADED = "nothing if it is a stranger; a node of yours is overloaded or badly connected: look at its log"
BEHIND = "nothing if it is a stranger; a node of yours is far behind or was cut off: look at its log"
CLOCKS = "compare the clocks of both machines with NTP; one of them is wrong"
REPORT = "please report the lines before this one: an honest node never says that"

TERMS: dict[Fault, Terms] = {
    Fault.GENESIS: Terms(FATAL, OTHER_CHAIN),
    Fault.VERSION: Terms(FATAL, OTHER_VERSION),
    Fault.MALFORMED: Terms(FATAL, HOSTILE),
    Fault.TOO_LARGE: Terms(FATAL, HOSTILE),
    Fault.UNDECODABLE: Terms(1 << 27, OTHER_VERSION),
    Fault.UNKNOWN_CHANNEL: Terms(1 << 16, OTHER_VERSION),
    Fault.TOO_MANY: Terms(1 << 16, HOSTILE),
    Fault.BUG: Terms(1 << 20, REPORT),
    Fault.NOT_ASKED: Terms(1 << 20, HOSTILE),
    Fault.TIMEOUT: Terms(1 << 10, OVERLOADED),
    Fault.FALSE_CLAIM: Terms(1 << 24, HOSTILE),
    Fault.USELESS: Terms(1 << 10, BEHIND),
    Fault.WRONG_BLOCKS: Terms(1 << 29, HOSTILE),
    Fault.BAD_BLOCK: Terms(
        FATAL,
        "nothing if it is one peer; if every peer goes, this node's program is out of date or its "
        "database is damaged: upgrade, or purge-chain and sync again",
    ),
    Fault.FUTURE_BLOCK: Terms(1 << 20, CLOCKS),
    Fault.EXCESS_BLOCK: Terms(1 << 20, "nothing: the author is reported and slashed for the first two"),
    Fault.BESIDE_CHECKPOINT: Terms(
        FATAL,
        "nothing if it is one peer; if every peer goes, the checkpoint is not of their chain: compare it "
        "with what `assay checkpoint` prints on a node you trust",
    ),
    Fault.OTHER_FINALITY: Terms(
        1 << 12,
        "nothing if it is one peer; if many, compare this node's finalised block with an explorer's",
    ),
    Fault.BAD_JUSTIFICATION: Terms(1 << 20, HOSTILE),
    Fault.FALSE_STATE: Terms(FATAL, HOSTILE),
    Fault.STINGY: Terms(1 << 24, HOSTILE),
    Fault.BAD_TRANSACTION: Terms(  # each; of a peer one block before an upgrade, a whole pool: 8,192
        1 << 17,
        "nothing if it is a stranger; a node of yours runs another version or keeps to another fork: compare "
        "their best blocks",
    ),
    Fault.STALE_TRANSACTION: Terms(1 << 14, BEHIND),  # each; a peer that is a block behind has some
    Fault.FORGED: Terms(1 << 27, HOSTILE),  # whoever passes votes on has checked them
    Fault.BAD_COMMIT: Terms(1 << 20, HOSTILE),
    Fault.OUT_OF_DATE: Terms(50, BEHIND),
    Fault.OUT_OF_TURN: Terms(500, BEHIND),
    Fault.BACKWARDS: Terms(50, BEHIND),
    Fault.FORGED_RECORD: Terms(1 << 27, HOSTILE),
    Fault.STALE_RECORD: Terms(1 << 12, CLOCKS),  # for all of a message
}


class PeerFault(Exception):
    """A peer broke a rule of the protocol; whoever handles its messages takes the cost from it."""

    def __init__(self, reason: Fault, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.cost = reason.cost
