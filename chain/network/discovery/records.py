"""Signed records of where peers listen: made by each for itself, passed on by all while they are fresh.

A record binds a node key to addresses for a day. Who passes it on can neither change it nor make one for
others, and an old one never counts after a newer one. It may still say what is not so: an address is believed
only once the handshake there has shown the same key.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chain.common.faults import Fault, PeerFault
from chain.keys.node import peer_id
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import (
    Address,
    AddressError,
    is_global,
    is_host_address,
    is_loopback,
    parse_address,
)
from chain.network.messages import (
    MAX_RECORD_ADDRESS,
    MAX_RECORD_ADDRESSES,
    PEER_RECORD,
    PeerRecord,
    SignedRecord,
)
from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.scale import DecodeError

LIFETIME_MS = 24 * 3600 * 1000
"""for which a record may hold"""
RENEWED_MS = LIFETIME_MS // 3
"""after which a node makes a new one of its own"""
CLOCKS_MS = 10 * 60 * 1000
"""by which the clocks of two honest nodes may differ"""
DOMAIN = b"assay-peer-record:"


@dataclass(frozen=True, slots=True)
class Record:
    """A record that its peer has signed."""

    peer: str
    seq: int  # ms since the Unix epoch
    expires: int  # ms since the Unix epoch
    addresses: tuple[Address, ...]  # with the peer in each
    signed: SignedRecord

    def is_fresh(self, now_ms: int) -> bool:
        """Say whether it may be passed on: nobody's clock will call it too old, or of the future."""
        return self.seq <= now_ms and now_ms + CLOCKS_MS < self.expires


def make_record(pair: Keypair, genesis: bytes, addresses: Iterable[Address], now_ms: int) -> Record:
    """Sign where this node listens, as many addresses of it as fit."""
    texts = [str(Address(each.protocol, each.host, each.port)) for each in addresses]
    fitting = [text for text in dict.fromkeys(texts) if len(text.encode()) <= MAX_RECORD_ADDRESS]
    record = PeerRecord(now_ms, now_ms + LIFETIME_MS, fitting[:MAX_RECORD_ADDRESSES])
    encoded = PEER_RECORD.encode(record)
    signed = SignedRecord(pair.public, pair.sign(DOMAIN + genesis + encoded), encoded)
    return open_record(signed)


def verify_record(signed: SignedRecord, genesis: bytes, now_ms: int) -> Record:
    """Return what a peer has signed.

    Raises: PeerFault.
    """
    record = open_record(signed)
    if record.expires > record.seq + LIFETIME_MS:
        raise PeerFault(Fault.FORGED_RECORD, f"{record.peer}: it would hold for too long")
    # A stranger can date a record so that the clocks of two honest nodes differ about it.
    if record.expires <= now_ms or record.seq > now_ms + CLOCKS_MS:
        raise PeerFault(Fault.STALE_RECORD, record.peer)
    if not verify_ed25519(signed.signature, DOMAIN + genesis + signed.record, signed.public):
        raise PeerFault(Fault.FORGED_RECORD, record.peer)
    return record


def open_record(signed: SignedRecord) -> Record:
    """Return what a record says; whether it is signed and holds is another question.

    Raises: PeerFault when it says nothing that makes sense.
    """
    peer = peer_id(signed.public)
    try:
        record: PeerRecord = PEER_RECORD.decode(signed.record)
        addresses = tuple(parse_address(text) for text in record.addresses)
    except (DecodeError, AddressError) as problem:
        raise PeerFault(Fault.FORGED_RECORD, f"{peer}: {problem}") from problem
    if any(each.peer not in (None, peer) for each in addresses):
        raise PeerFault(Fault.FORGED_RECORD, f"{peer}: it names somebody else")
    return Record(peer, record.seq, record.expires, tuple(each.of(peer) for each in addresses), signed)


def believable(address: Address, *, allow_private: bool, told_by: str) -> bool:
    """Say whether a peer could really be there, for all that whoever tells from an IP address can know.

    Nobody on another machine knows what listens on the loopback addresses of this one.
    """
    if address.is_name:
        return "." in address.host and not address.host.rsplit(".", 1)[1].isdigit()
    if is_loopback(address.host):
        return allow_private and bool(told_by) and is_loopback(told_by)
    return is_global(address.host) or (allow_private and is_host_address(address.host))
