"""A block as peers send it to each other, whole or in part, and how they ask for it."""

import enum
from typing import Annotated

from runtime.primitives.header import Header
from runtime.primitives.shapes import Bounded, struct

MAX_BLOCKS = 128
"""in one answer, as in Substrate"""
MAX_EXTRINSICS = 1 << 16
"""of one block; more than fit into the largest one"""
MAX_JUSTIFICATION = 1 << 21
"""bytes; 2,048 votes with the headers between them are a quarter of it"""


class Fields(enum.IntFlag):
    """What is wanted of a block beside its header, by Substrate's bits."""

    HEADER = 1
    BODY = 2
    JUSTIFICATION = 16


HEADERS = Fields.HEADER
PROOFS = Fields.HEADER | Fields.JUSTIFICATION
BLOCKS = Fields.HEADER | Fields.BODY | Fields.JUSTIFICATION


@struct("sc_network_sync::BlockData")
class BlockData:
    """A block, as far as it was asked for and is there."""

    header: Header
    body: Annotated[list[bytes], Bounded(MAX_EXTRINSICS)] | None
    justification: Annotated[bytes, Bounded(MAX_JUSTIFICATION)] | None


@struct("sc_consensus_grandpa::WarpSyncFragment")
class WarpStep:
    """A block and the votes that make it final: one step of a proof of who votes."""

    header: Header
    justification: Annotated[bytes, Bounded(MAX_JUSTIFICATION)]
