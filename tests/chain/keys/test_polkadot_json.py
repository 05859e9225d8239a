"""Exports of polkadot.js: those another library writes, and every broken one."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from substrateinterface import Keypair as Reference

from chain.keys.pair import KeyKind, Keypair
from chain.keys.polkadot_json import MAX_SIZE, PolkadotJsonError, open_export
from tests.chain.exports import export

ALICE = Keypair.from_suri("//Alice", "sr25519")
PASSWORD = "correct horse"
EXPORTED = json.loads(export(ALICE, PASSWORD))
ENCODED = base64.b64decode(EXPORTED["encoded"])
ENCODING = EXPORTED["encoding"]
CORRUPT = "the export is corrupt: "


@pytest.mark.parametrize("kind", ["sr25519", "ed25519", "ecdsa"])
def test_every_kind_opens(kind: KeyKind) -> None:
    pair = Keypair.from_suri("//Alice", kind)
    assert open_export(export(pair, PASSWORD), PASSWORD) == pair


def test_what_the_reference_exports_opens() -> None:
    theirs = Reference.create_from_uri("//Alice//stash")
    text = json.dumps(theirs.export_to_encrypted_json(PASSWORD))
    assert open_export(text, PASSWORD) == Keypair.from_suri("//Alice//stash", "sr25519")


def encoded(*, at: int = 0, new: bytes = b"", size: int | None = None) -> str:
    """Return the encrypted part with some bytes replaced, or cut."""
    return base64.b64encode((ENCODED[:at] + new + ENCODED[at + len(new) :])[:size]).decode()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"encoding": None}, "the file is no polkadot.js export: it has no encoding"),
        ({"encoding": ENCODING | {"version": "2"}}, "only exports of version 3, encrypted with scrypt"),
        ({"encoding": ENCODING | {"type": ["none"]}}, "only exports of version 3, encrypted with scrypt"),
        ({"encoding": ENCODING | {"content": ["pkcs8", "ethereum"]}}, "the export holds no sr25519"),
        ({"encoding": ENCODING | {"content": ["pkcs8", "ed25519"]}}, CORRUPT + "its secret belongs to"),
        ({"encoding": ENCODING | {"content": ["pkcs8", "ecdsa"]}}, CORRUPT + "it frames no ecdsa key"),
        ({"encoded": "?"}, CORRUPT + "encoded is not base64"),
        ({"encoded": 5}, CORRUPT + "encoded is not base64"),
        ({"encoded": ""}, CORRUPT + "it is too short"),
        ({"encoded": encoded(size=67)}, CORRUPT + "it is too short"),
        ({"encoded": encoded(at=32, new=b"\xff\xff\xff\x7f")}, "the export asks for scrypt N=2147483647"),
        ({"encoded": encoded(at=40, new=b"\x09")}, "the export asks for scrypt N=32768 p=1 r=9"),
        ({"encoded": encoded(at=90, new=b"\x00\x00\x00")}, "the password does not open this export"),
        ({"encoded": encoded(size=70)}, "the password does not open this export"),
        ({"address": "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"}, CORRUPT + "its address belongs"),
        ({"address": "nonsense"}, CORRUPT + "its address belongs"),
    ],
)
def test_what_does_not_open(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(PolkadotJsonError) as refused:
        open_export(json.dumps(EXPORTED | changed), PASSWORD)
    assert str(refused.value).startswith(reason)


def test_another_password_opens_nothing() -> None:
    with pytest.raises(PolkadotJsonError, match="the password does not open this export"):
        open_export(json.dumps(EXPORTED), PASSWORD + " ")


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "[" * 60_000, " " * (MAX_SIZE + 1)])
def test_what_is_no_export(text: str) -> None:
    with pytest.raises(PolkadotJsonError):
        open_export(text, PASSWORD)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)))  # fmt: skip


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["encoded", "encoding", "address"]), JSON, min_size=1))
def test_json_of_any_shape_is_refused_in_one_line(changed: dict[str, Any]) -> None:
    if set(changed) == {"address"}:
        changed["encoded"] = ""
    with pytest.raises(PolkadotJsonError) as refused:
        open_export(json.dumps(EXPORTED | {"encoded": ""} | changed), PASSWORD)
    assert "\n" not in str(refused.value)
