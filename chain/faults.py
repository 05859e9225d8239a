"""What a peer can do wrong, and what it costs.

Costs are Substrate's: a peer begins at 0, is banned below 71 % of -2^31, and half of what it has lost comes
back in 139 s. Only what no honest peer does is dear: a partition makes honest peers silent, not false.
Source: paritytech/polkadot-sdk substrate/client/network/src/peer_store.rs, sync and GRANDPA reputations.
"""

import enum

FATAL = 1 << 31


class Fault(enum.StrEnum):
    """What was wrong, in words for the log."""

    GENESIS = "another genesis"
    VERSION = "another version of the protocol"
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
    OTHER_FINALITY = "a chain without our final block"
    BAD_JUSTIFICATION = "a justification that proves nothing"
    FALSE_STATE = "a range of the state that is not the state's"
    STINGY = "far less than fits into an answer"
    BAD_TRANSACTION = "a transaction that breaks the rules"
    FORGED = "a vote that was not signed"
    OUT_OF_DATE = "a vote of a round long over"
    OUT_OF_TURN = "a vote of a round far ahead"
    BACKWARDS = "a neighbour packet that goes backwards"

    @property
    def cost(self) -> int:
        """What is taken from the peer's reputation."""
        return COSTS[self]


COSTS: dict[Fault, int] = {
    Fault.GENESIS: FATAL,
    Fault.VERSION: FATAL,
    Fault.TOO_LARGE: FATAL,
    Fault.UNDECODABLE: 1 << 27,
    Fault.UNKNOWN_CHANNEL: 1 << 10,
    Fault.TOO_MANY: 1 << 10,
    Fault.BUG: 1 << 20,
    Fault.NOT_ASKED: 1 << 20,
    Fault.TIMEOUT: 1 << 10,
    Fault.FALSE_CLAIM: 1 << 24,
    Fault.USELESS: 1 << 10,
    Fault.WRONG_BLOCKS: 1 << 29,
    Fault.BAD_BLOCK: FATAL,
    Fault.FUTURE_BLOCK: 1 << 20,
    Fault.OTHER_FINALITY: 1 << 12,
    Fault.BAD_JUSTIFICATION: 1 << 20,
    Fault.FALSE_STATE: FATAL,
    Fault.STINGY: 1 << 24,
    Fault.BAD_TRANSACTION: 1 << 15,  # each; a peer that is a block behind has some
    Fault.FORGED: 1 << 27,
    Fault.OUT_OF_DATE: 50,
    Fault.OUT_OF_TURN: 500,
    Fault.BACKWARDS: 50,
}


class PeerFault(Exception):
    """A peer broke a rule of the protocol; whoever handles its messages takes the cost from it."""

    def __init__(self, reason: Fault, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.cost = reason.cost
