"""Addresses: what leads to the public Internet, as text and in web addresses."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.addresses import is_public, is_url, may_be_public

PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "192.0.1.1", "223.255.255.255"]
PUBLIC_6 = [
    "2606:4700::1111",
    "2a00::1",
    "2400:cb00::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]
PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255",
]  # fmt: skip
PRIVATE_6 = [
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
    "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "ff02::1", "2001:db8::1", "2001:2::1", "3fff::1",
    "2002:7f00:1::1", "2002:c0a8:1::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", [*PUBLIC, *PUBLIC_6])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", [*PRIVATE, *PRIVATE_6, "", "miner.example", "127.1", "1.2.3.4.5"])
def test_what_is_none(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        *PUBLIC,
        *(f"[{each}]" for each in PUBLIC_6),
        "miner.example",
        "Miner.Example.",
        "a-b.c_d.org",
        "1.example",
    ],
)
def test_hosts_that_may_be_public(host: str) -> None:
    for tail in ("", "/", ":8091", ":8091/x?y", "/?http://10.0.0.1"):
        assert may_be_public(f"https://{host}{tail}")


@pytest.mark.parametrize(
    "host",
    [
        *PRIVATE, *(f"[{each}]" for each in PRIVATE_6), "localhost", "LOCALHOST.", "a.localhost",
        "router.local", "db.internal", "nas.home.arpa", "miner", "127.1", "2130706433", "0x7f000001",
        "0177.0.0.1", "1.2.3.0x4", "127.0.0.1.", "[::1", "a..b", "a%2eb.example", "127.0.0.1\\@miner.example",
        "127.0.0.1?.example", "-",
    ],
)  # fmt: skip
def test_hosts_that_are_not(host: str) -> None:
    for tail in ("", "/", ":8091"):
        assert not may_be_public(f"http://{host}{tail}")


@given(st.text(max_size=30))
def test_no_text_breaks_the_check_of_a_url(tail: str) -> None:
    assert is_url("https://" + tail) in (True, False)
    assert is_url("https://h/" + tail) == (tail.isascii() and tail.isprintable() and " " not in tail)


@pytest.mark.parametrize("end", ["", "/", ":1", ":65535/x", "?x=@", "#", ":8091/a/../b"])
def test_a_url_has_a_host_and_maybe_a_port(end: str) -> None:
    assert all(is_url(f"http://{host}{end}") for host in ("h", "xn--bcher-kva.example", "10.0.0.1", "[::1]"))


@pytest.mark.parametrize(
    "url",
    [
        "http:/h", "HTTP://h", "http:///h", "http://h:", "http://h:0", "http://h:65536", "http://h:123456",
        "http://h:8a", "http://h:-1", "http://h:+1", "http://u:p@h", "http://h@g", "http://h\\g", "http://%68",
        "http://[::1", "http://::1", "http://[]", "http://[::1]h", "http://[fe80::1%25eth0]", "http://h\n",
        "http://h/\n", "http://h/\x7f", "http://h\t", "http://bücher.example", "http://a,b",
    ],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    assert not is_url(url)
    assert not may_be_public(url)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6, network="2000::/3")))
def test_nothing_passes_that_python_knows_as_private(address: IPv4Address | IPv6Address) -> None:
    wraps = (address.version == 6 and int(address) >> 96 == 0x2001_0000) or int(address) >> 112 == 0x2002
    if is_public(str(address)) and not wraps:
        assert address.is_global
        assert not address.is_multicast
