"""Accounts that submit extrinsics to a node, as wallets do."""

from typing import Any

from chain.keys.pair import Keypair
from chain.node import Node
from runtime.frame.state import Overlay
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives.crypto import Ed25519
from runtime.primitives.era import IMMORTAL
from runtime.primitives.header import Digest
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import EXECUTIVE, EXTENSIONS, AssayRuntime


def signed(node: Node, pair: Keypair, pallet: str, call: str, *arguments: Any) -> bytes:
    """Return an extrinsic for the next block of a node."""
    store = node.store
    runtime = AssayRuntime(Overlay(store.state_at(store.best)))
    runtime.system.initialize(store.best_number + 1, store.best, Digest([]))
    chosen = {
        "CheckMortality": IMMORTAL,
        "CheckNonce": node.next_index(pair.account),
        "ChargeTransactionPayment": 0,
        "CheckMetadataHash": MetadataHashMode.Disabled,
    }
    extra = tuple(chosen.get(type(each).__name__, ()) for each in EXTENSIONS)
    pairs = zip(EXTENSIONS, extra, strict=True)
    implied = tuple(each.bind(runtime).implied(value) for each, value in pairs)
    made = runtime.call(pallet, call, *arguments)
    signature = Ed25519(pair.sign(EXECUTIVE.format.payload(made, extra, implied)))
    return EXECUTIVE.format.signed(made, AccountId(pair.account), signature, extra)


def submit(node: Node, pair: Keypair, pallet: str, call: str, *arguments: Any) -> Hash:
    """Submit a call.

    Raises: SubmitError.
    """
    return node.submit(signed(node, pair, pallet, call, *arguments))
