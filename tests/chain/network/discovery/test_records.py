import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.common.faults import Fault, PeerFault
from chain.keys.node import peer_id
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import Address, group_of, is_global, parse_address
from chain.network.discovery.records import (
    CLOCKS_MS,
    DOMAIN,
    LIFETIME_MS,
    believable,
    make_record,
    verify_record,
)
from chain.network.messages import (
    LIMITS,
    MAX_RECORD,
    MAX_RECORD_ADDRESS,
    MAX_RECORD_ADDRESSES,
    MAX_RECORDS,
    PEER_EXCHANGE,
    PEER_RECORD,
    Channel,
    PeerExchange,
    PeerRecord,
    SignedRecord,
)
from runtime.primitives.scale import DecodeError

GENESIS = bytes(range(32))
PAIR = Keypair.from_suri("//Node", "ed25519")
PEER = peer_id(PAIR.public)
OTHER = peer_id(Keypair.from_suri("//Other", "ed25519").public)
NOW = 1_800_000_000_000
PLACE = parse_address("/ip4/203.0.113.7/tcp/30333")


def signed(record: PeerRecord, genesis: bytes = GENESIS) -> SignedRecord:
    return sealed(PEER_RECORD.encode(record), genesis)


def sealed(encoded: bytes, genesis: bytes = GENESIS) -> SignedRecord:
    return SignedRecord(PAIR.public, PAIR.sign(DOMAIN + genesis + encoded), encoded)


def fault_of(record: SignedRecord, now: int = NOW) -> Fault:
    with pytest.raises(PeerFault) as caught:
        verify_record(record, GENESIS, now)
    return caught.value.reason


ports = st.integers(1, 65_535)
places = st.one_of(
    st.builds(Address, st.just("ip4"), st.ip_addresses(v=4).map(str), ports),
    st.builds(Address, st.just("ip6"), st.ip_addresses(v=6).map(str), ports),
    st.builds(Address, st.just("dns"), st.from_regex(r"[a-z]{1,9}\.example", fullmatch=True), ports),
)


@given(st.lists(places, max_size=12), st.integers(0, 1 << 50))
def test_a_record_reads_back_as_it_was_signed(addresses: list[Address], now: int) -> None:
    record = verify_record(make_record(PAIR, GENESIS, addresses, now).signed, GENESIS, now)
    wanted = tuple(each.of(PEER) for each in dict.fromkeys(addresses))[:MAX_RECORD_ADDRESSES]
    assert (record.peer, record.seq, record.expires) == (PEER, now, now + LIFETIME_MS)
    assert record.addresses == wanted


@given(st.integers(0, 95 + 60), st.integers(1, 255))
def test_no_bit_of_a_record_can_be_changed(at: int, flip: int) -> None:
    record = make_record(PAIR, GENESIS, [PLACE, PLACE.of(PEER)], NOW).signed
    parts = bytearray(record.public + record.signature + record.record)
    parts[at % len(parts)] ^= flip
    changed = SignedRecord(bytes(parts[:32]), bytes(parts[32:96]), bytes(parts[96:]))
    assert fault_of(changed) in (Fault.FORGED_RECORD, Fault.STALE_RECORD)


def test_a_record_of_another_chain_is_forged() -> None:
    assert fault_of(make_record(PAIR, bytes(32), [PLACE], NOW).signed) is Fault.FORGED_RECORD


def test_a_record_holds_for_a_day_and_no_longer() -> None:
    record = make_record(PAIR, GENESIS, [PLACE], NOW).signed
    assert verify_record(record, GENESIS, NOW + LIFETIME_MS - 1).seq == NOW
    assert fault_of(record, NOW + LIFETIME_MS) is Fault.STALE_RECORD
    assert fault_of(signed(PeerRecord(NOW, NOW + LIFETIME_MS + 1, []))) is Fault.FORGED_RECORD


def test_a_record_may_be_from_a_clock_that_is_a_little_fast() -> None:
    record = make_record(PAIR, GENESIS, [PLACE], NOW + CLOCKS_MS).signed
    assert verify_record(record, GENESIS, NOW).seq == NOW + CLOCKS_MS
    assert fault_of(record, NOW - 1) is Fault.STALE_RECORD  # whoever passes it on may have a faster clock


def test_a_record_is_passed_on_only_while_nobody_calls_it_stale() -> None:
    record = make_record(PAIR, GENESIS, [PLACE], NOW)
    assert record.is_fresh(NOW + LIFETIME_MS - CLOCKS_MS - 1)
    assert not record.is_fresh(NOW + LIFETIME_MS - CLOCKS_MS)
    assert record.is_fresh(NOW)
    assert not record.is_fresh(NOW - 1)


@pytest.mark.parametrize(
    "text", ["", "nowhere", "/ip4/1.2.3.4/tcp/0", f"/ip4/1.2.3.4/tcp/1/p2p/{OTHER}", "/ip4/1.2.3.4/udp/1"]
)
def test_a_signature_makes_no_sense_of_nonsense(text: str) -> None:
    assert fault_of(signed(PeerRecord(NOW, NOW + 1000, [text]))) is Fault.FORGED_RECORD


@pytest.mark.parametrize("encoded", [b"", bytes(15), b"\xff" * 64])
def test_what_is_no_record_is_forged_whoever_signs_it(encoded: bytes) -> None:
    assert fault_of(sealed(encoded)) is Fault.FORGED_RECORD


def test_hostile_sizes_do_not_decode() -> None:
    exchange = PeerExchange(wants=False, records=[sealed(bytes(MAX_RECORD))] * MAX_RECORDS)
    largest = PEER_EXCHANGE.encode(exchange)
    assert PEER_EXCHANGE.decode(largest) == exchange
    assert len(largest) <= LIMITS[Channel.PEERS].size
    one = largest[3 : 3 + (len(largest) - 3) // MAX_RECORDS]
    many = (MAX_RECORDS + 1 << 2 | 1).to_bytes(2, "little")
    with pytest.raises(DecodeError):
        PEER_EXCHANGE.decode(b"\0" + many + one * (MAX_RECORDS + 1))
    long = one[:96] + (MAX_RECORD + 1 << 2 | 1).to_bytes(2, "little") + bytes(MAX_RECORD + 1)
    with pytest.raises(DecodeError):
        PEER_EXCHANGE.decode(b"\0\4" + long)
    times, place = bytes(16), b"\x48/ip4/1.2.3.4/tcp/1"
    assert PEER_RECORD.decode(times + b"\4" + place) == PeerRecord(0, 0, ["/ip4/1.2.3.4/tcp/1"])
    assert fault_of(sealed(times + bytes([MAX_RECORD_ADDRESSES + 1 << 2]) + place * 9)) is Fault.FORGED_RECORD
    long = (MAX_RECORD_ADDRESS + 1 << 2 | 1).to_bytes(2, "little") + b"/" * (MAX_RECORD_ADDRESS + 1)
    assert fault_of(sealed(times + b"\4" + long)) is Fault.FORGED_RECORD


def test_a_record_of_eight_longest_addresses_fits() -> None:
    host = ".".join(["a" * 60] * 4)[:240]
    found = make_record(PAIR, GENESIS, [Address("dns", host, port) for port in range(60_000, 60_012)], NOW)
    assert len(found.addresses) == MAX_RECORD_ADDRESSES
    assert len(found.signed.record) <= MAX_RECORD


@pytest.mark.parametrize(
    ("text", "on_the_internet", "on_a_site", "on_this_machine"),
    [
        ("/ip4/8.8.8.8/tcp/1", True, True, True),
        ("/ip6/2a00:1450::1/tcp/1", True, True, True),
        ("/dns/node.example.org/tcp/1", True, True, True),
        ("/ip4/10.1.2.3/tcp/1", False, True, True),
        ("/ip4/192.168.0.1/tcp/1", False, True, True),
        ("/ip6/fd00::1/tcp/1", False, True, True),
        ("/ip4/127.0.0.1/tcp/1", False, False, True),
        ("/ip6/::1/tcp/1", False, False, True),
        ("/ip4/0.0.0.0/tcp/1", False, False, False),
        ("/ip4/224.0.0.1/tcp/1", False, False, False),
        ("/ip4/240.0.0.1/tcp/1", False, False, False),
        ("/ip4/169.254.1.1/tcp/1", False, False, False),
        ("/dns/localhost/tcp/1", False, False, False),
        ("/dns/10.0.0.1/tcp/1", False, False, False),
    ],
)
def test_only_addresses_a_peer_can_have_are_believed(
    text: str, on_the_internet: bool, on_a_site: bool, on_this_machine: bool
) -> None:
    address = parse_address(text)
    assert believable(address, allow_private=False, told_by="8.8.4.4") is on_the_internet
    assert believable(address, allow_private=True, told_by="10.0.0.9") is on_a_site
    assert believable(address, allow_private=True, told_by="127.0.0.1") is on_this_machine
    assert believable(address, allow_private=False, told_by="127.0.0.1") is on_the_internet


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("8.8.4.4", "8.8.0.0/16"),
        ("2a00:1450:4001::1", "2a00:1450::/32"),
        ("2002:0808:0404::1", "8.8.0.0/16"),  # 6to4 of 8.8.4.4
        ("::ffff:8.8.4.4", "8.8.0.0/16"),
        ("10.1.2.3", "10.1.2.0/24"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("a.b.Example.org", "example.org"),
        ("node", "node"),
    ],
)
def test_a_group_is_what_one_operator_may_own(host: str, group: str) -> None:
    assert group_of(host) == group


@given(st.ip_addresses(v=4))
def test_every_ip_address_has_a_group(ip: object) -> None:
    assert group_of(str(ip))
    assert isinstance(is_global(str(ip)), bool)
