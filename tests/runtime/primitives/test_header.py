"""Headers and digests: published bytes and hashes, seals, and malformed input."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.executive import genesis_header
from runtime.primitives.header import (
    BABE_ENGINE,
    Consensus,
    Digest,
    DigestItem,
    Header,
    Other,
    PreRuntime,
    RuntimeEnvironmentUpdated,
    Seal,
    decode_header,
)
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.trie import ordered_root
from runtime.primitives.types import Hash

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "primitives.json").read_text())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_a_sealed_header_of_a_live_chain() -> None:
    case = VECTORS["header"]
    header = decode_header(unhex(case["bytes"]))
    assert header.encode() == unhex(case["bytes"])
    assert header.hash() == unhex(case["hash"])
    unsealed, seal = header.unsealed()
    assert (unsealed.encode(), unsealed.hash()) == (
        unhex(case["pre_seal_bytes"]),
        unhex(case["pre_seal_hash"]),
    )
    assert seal is not None
    assert unsealed.sealed(seal) == header
    assert unsealed.unsealed() == (unsealed, None)
    assert header.extrinsics_root == ordered_root([unhex(each) for each in case["extrinsics"]])


@pytest.mark.parametrize("case", VECTORS["genesis_header"], ids=lambda case: case["network"])
def test_genesis_headers_of_live_chains(case: dict[str, str]) -> None:
    header = genesis_header(Hash(unhex(case["state_root"])))
    assert header.encode() == unhex(case["header"])
    assert header.hash() == unhex(case["hash"])


@pytest.mark.parametrize("case", VECTORS["digest_items"], ids=lambda case: case["what"])
def test_published_digest_items(case: dict[str, str]) -> None:
    item = codec(DigestItem).decode(unhex(case["bytes"]))
    assert codec(DigestItem).encode(item) == unhex(case["bytes"])
    assert isinstance(item, PreRuntime | Consensus | Seal | Other | RuntimeEnvironmentUpdated)
    tags = {PreRuntime: 6, Consensus: 4, Seal: 5, Other: 0, RuntimeEnvironmentUpdated: 8}
    assert unhex(case["bytes"])[0] == tags[type(item)]


engines = st.binary(min_size=4, max_size=4)
items = st.one_of(
    st.builds(Other, st.binary(max_size=9)),
    *(st.builds(kind, engines, st.binary(max_size=9)) for kind in (Consensus, Seal, PreRuntime)),
    st.just(RuntimeEnvironmentUpdated()),
)
hashes = st.binary(min_size=32, max_size=32).map(Hash)
headers = st.builds(
    Header, hashes, st.integers(0, 2**32 - 1), hashes, hashes, st.builds(Digest, st.lists(items, max_size=4))
)


@settings(max_examples=60)
@given(headers)
def test_headers_survive_the_wire(header: Header) -> None:
    assert decode_header(header.encode()) == header
    sealed = header.sealed(Seal(BABE_ENGINE, b"signature"))
    assert sealed.unsealed() == (header, Seal(BABE_ENGINE, b"signature"))


@settings(max_examples=60)
@given(headers, st.data())
def test_a_cut_header_is_refused(header: Header, data: st.DataObject) -> None:
    encoded = header.encode()
    with pytest.raises(DecodeError):
        decode_header(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(DecodeError):
        decode_header(encoded + b"\0")


def test_a_number_beyond_four_bytes_is_refused() -> None:
    encoded = bytes(32) + bytes.fromhex("070000000001") + bytes(64) + b"\0"
    with pytest.raises(DecodeError, match="does not fit 4 bytes"):
        decode_header(encoded)
