"""SS58 addresses: known addresses, refusals, and equality with another implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalecodec.utils.ss58 import ss58_encode

from runtime.primitives.ss58 import MAX_PREFIX, RESERVED_PREFIXES, Ss58Error, decode, encode

ALICE = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")
ALICE_ADDRESSES = {
    0: "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5",
    2: "HNZata7iMYWmk5RvZRTiAsSDhV8366zq2YGb3tLH5Upf74F",
    42: "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
    63: "7NPoMQbiA6trJKkjB35uk96MeJD4PGWkLQLH7k7hXEkZpiba",
    64: "cEaNSpz4PxFcZ7nT1VEKrKewH67rfx6MfcM6yKojyyPz7qaqp",
    1284: "VdvKmYJfD4VXA9fzz1SbmCo2eYHSzUFbaDCZSuaNKJAe8YNg6",
    16383: "yNa8JpqfFB3q8A29rCwSgxvdU94ufJw2yKKxDgznS5m1PoFvn",
}

WRONG_CHECKSUM = "the checksum is wrong; is a character mistyped?"

prefixes = st.integers(0, MAX_PREFIX).filter(lambda prefix: prefix not in RESERVED_PREFIXES)
accounts = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize(("prefix", "address"), ALICE_ADDRESSES.items())
def test_known_addresses(prefix: int, address: str) -> None:
    assert encode(ALICE, prefix) == address
    assert decode(address) == (prefix, ALICE)


def test_the_default_prefix_is_the_generic_one() -> None:
    assert encode(ALICE) == ALICE_ADDRESSES[42]


@given(accounts, prefixes)
def test_round_trip_and_equality_with_scalecodec(account: bytes, prefix: int) -> None:
    address = encode(account, prefix)
    assert address == ss58_encode(account, prefix)
    assert decode(address) == (prefix, account)


def test_leading_zero_bytes_survive() -> None:
    assert decode(encode(bytes(32), 0)) == (0, bytes(32))


@given(accounts, prefixes, st.data())
def test_one_wrong_character_is_refused(account: bytes, prefix: int, data: st.DataObject) -> None:
    address = encode(account, prefix)
    position = data.draw(st.integers(0, len(address) - 1))
    other = data.draw(st.sampled_from("123abcXYZ").filter(lambda letter: letter != address[position]))
    with pytest.raises(Ss58Error):
        decode(address[:position] + other + address[position + 1 :])


@given(st.text(max_size=60))
def test_arbitrary_text_raises_nothing_but_ss58_error(text: str) -> None:
    with pytest.raises(Ss58Error):
        decode(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an address has 1 to 50 characters, not 0"),
        ("1" * 51, "an address has 1 to 50 characters, not 51"),
        ("5Grwva0F5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "'0' at position 6 is no base58 character"),
        (ALICE_ADDRESSES[42][:-1], "an address holds 35 bytes, not 34"),
        (
            "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ",
            "the checksum is wrong; is a character mistyped?",
        ),
        ("cEaNSpz4PxFcZ7nT1VEKrKewH67rfx6MfcM6yKojyyPz7qaq", "an address holds 35 bytes, not 36"),
    ],
)
def test_refusals_say_why(text: str, reason: str) -> None:
    with pytest.raises(Ss58Error) as refused:
        decode(text)
    assert str(refused.value) == reason


@pytest.mark.parametrize("prefix", [-1, 46, 47, 16384])
def test_no_address_for_a_prefix_that_is_none(prefix: int) -> None:
    with pytest.raises(Ss58Error, match="is no network prefix"):
        encode(ALICE, prefix)


def test_an_account_has_32_bytes() -> None:
    with pytest.raises(Ss58Error, match="an account has 32 bytes, not 33"):
        encode(bytes(33))
