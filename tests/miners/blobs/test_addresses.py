"""URLs from a live chain never lead into this machine or its networks, whatever they look like."""

import socket
from typing import Any

import pytest

from miners.blobs import addresses
from miners.blobs.addresses import BadAddress, PublicResolver, check, is_public
from miners.blobs.client import BlobClient, Source
from miners.blobs.errors import BlobUnreachable
from tests.miners.blobs.test_download import DIGEST, Mirror, mirrors


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # what clouds tell their machines
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::1", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_what_counts_as_public(address: str, public: bool) -> None:
    assert is_public(address) == public


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.1.2.3", "169.254.169.254", "[::ffff:10.0.0.1]"])
def test_an_address_in_a_url_is_checked(host: str) -> None:
    check(f"http://{host}:8080", public_only=False)
    with pytest.raises(BadAddress, match="no public address, and a live chain"):
        check(f"http://{host}:8080", public_only=True)


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"])
async def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    async with mirrors(Mirror()) as (source,), BlobClient(public_only=True, timeout=20) as blobs:
        url = source.url.replace("127.0.0.1", host)
        with pytest.raises(BlobUnreachable):
            await blobs.fetch([Source(url)], DIGEST, 1 << 20)
        assert blobs.traffic.received == 0
    async with mirrors(mirror := Mirror()) as (source,), BlobClient(public_only=True, timeout=20) as blobs:
        with pytest.raises(BlobUnreachable):
            await blobs.fetch([Source(source.url)], DIGEST, 1 << 20)
        assert mirror.asked == []


@pytest.mark.parametrize("host", ["①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "１２７.⓪.0。1"])
def test_characters_that_a_client_reads_as_digits_are_digits(host: str) -> None:
    with pytest.raises(BadAddress, match=r"127\.0\.0\.1 is no public address"):
        check(f"http://{host}:8080", public_only=True)


def resolving(monkeypatch: pytest.MonkeyPatch, *looks: list[str]) -> list[str]:
    """Have the system's resolver answer so, one look after the other; return the names it was asked for."""
    asked: list[str] = []

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        asked.append(host)
        common = {"hostname": host, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [{**common, "host": each} for each in looks[min(len(asked), len(looks)) - 1]]

    monkeypatch.setattr(addresses.ThreadedResolver, "resolve", resolve)
    return asked


async def test_a_name_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["8.8.8.8", "192.168.0.1"], ["8.8.8.8", "1.1.1.1"])
    with pytest.raises(BadAddress, match=r"mixed\.example leads to 192\.168\.0\.1, no public address"):
        await PublicResolver().resolve("mixed.example", 80)
    assert [each["host"] for each in await PublicResolver().resolve("good.example")] == ["8.8.8.8", "1.1.1.1"]


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that means something else at the second look gains nothing: every look is checked."""
    asked = resolving(monkeypatch, ["192.0.2.1", "8.8.8.8"], ["127.0.0.1"])
    async with mirrors(mirror := Mirror()) as (source,), BlobClient(public_only=True, timeout=20) as blobs:
        port = source.url.rpartition(":")[2]
        for _ in range(2):
            with pytest.raises(BlobUnreachable, match="no public address"):
                await blobs.fetch([Source(f"http://rebinding.example:{port}")], DIGEST, 1 << 20)
        assert mirror.asked == []
    assert len(asked) == 2
