"""The manifest under `:code`: one spelling, and nothing else is one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.manifest import MAX_BYTES, Manifest, ManifestError
from runtime.primitives.types import Hash

U32 = st.integers(0, (1 << 32) - 1)
MANIFESTS = st.builds(
    Manifest,
    st.binary(min_size=32, max_size=32).map(Hash),
    st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True),
    st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True),
    U32,
    U32,
)
MADE = Manifest(Hash(bytes(32)), "local", "assay", 101, 1)


@given(MANIFESTS)
def test_a_manifest_is_json_and_reads_back(made: Manifest) -> None:
    encoded = made.encode()
    assert len(encoded) <= MAX_BYTES
    assert Manifest.decode(encoded) == made
    content = json.loads(encoded)
    assert encoded == json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        MADE.encode() + b"\n",
        b" " + MADE.encode(),
        MADE.encode().replace(b"101", b"0101"),
        MADE.encode().replace(b"101", b"4294967296"),
        MADE.encode().replace(b"101", b"101.0"),
        MADE.encode().replace(b"101", "١٠١".encode()),
        MADE.encode().replace(b"assay", b"Assay"),
        MADE.encode().replace(b"0x00", b"0x0"),
        b"[" * 400,
        bytes(MAX_BYTES + 1),
    ],
)
def test_nothing_else_is_a_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError):
        Manifest.decode(data)
