"""Signed requests: the vectors, and everything that makes one worth nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.blobs import signing
from miners.blobs.signing import (
    EMPTY,
    HEADERS,
    MOST_NONCES,
    NONCE,
    SIGNATURE,
    SIGNED_BY,
    TIMESTAMP,
    WINDOW_MS,
    BadRequest,
    Claim,
    Doorman,
    read,
    sign,
)
from runtime.primitives.crypto import verify_sr25519
from runtime.primitives.hashing import blake2_256
from tests.miners.blobs.people import ALICE, BOB, EVE, GENESIS, MINER

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "blob_requests.json").read_text())
PATH = f"/blob/{bytes(32).hex()}"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["method"]))
def test_the_vectors(vector: dict[str, Any]) -> None:
    claim = read(vector["headers"])
    assert claim is not None
    assert claim.headers() == vector["headers"]
    method, path, body = vector["method"], vector["path"], bytes.fromhex(vector["body_hash"])
    message = claim.message(bytes.fromhex(vector["genesis"]), method, path, body)
    assert message.hex() == vector["message"]
    tag, chain = b"\x30assay-blob/1", bytes.fromhex(vector["genesis"])
    line = (
        bytes([4 * len(method)]) + method.encode() + (4 * len(path) + 1).to_bytes(2, "little") + path.encode()
    )
    keys, when = claim.signer + claim.receiver, claim.timestamp.to_bytes(8, "little")
    by_hand = tag + chain + line + body + keys + when + claim.nonce
    assert message == by_hand
    assert verify_sr25519(claim.signature, message, claim.signer)


def doorman(now: int | None = None) -> Doorman:
    return Doorman(GENESIS, ALICE.hotkey) if now is None else Doorman(GENESIS, ALICE.hotkey, lambda: now)


def claim_of(headers: dict[str, str]) -> Claim:
    claim = read(headers)
    assert claim is not None
    return claim


def test_a_request_is_admitted_once() -> None:
    door, claim = doorman(), claim_of(sign(MINER, ALICE.hotkey, "PUT", PATH, blake2_256(b"body")))
    door.admit(claim, "PUT", PATH, blake2_256(b"body"))
    with pytest.raises(BadRequest, match="this request was made before") as refused:
        door.admit(claim, "PUT", PATH, blake2_256(b"body"))
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", PATH, b"body"), ("PUT", PATH[:-1] + "1", b"body"), ("PUT", PATH, b"other")],
)
def test_what_was_changed_on_the_way_is_refused(method: str, path: str, body: bytes) -> None:
    claim = claim_of(sign(MINER, ALICE.hotkey, "PUT", PATH, blake2_256(b"body")))
    with pytest.raises(BadRequest, match=f"{SIGNATURE} does not fit"):
        doorman().admit(claim, method, path, blake2_256(body))


@pytest.mark.parametrize("name", [SIGNED_BY, TIMESTAMP, NONCE, SIGNATURE])
def test_no_header_may_be_another(name: str) -> None:
    headers = sign(MINER, ALICE.hotkey, "GET", PATH)
    other = sign(EVE, ALICE.hotkey, "GET", PATH)
    headers[name] = str(int(headers[name]) + 1) if name == TIMESTAMP else other[name]
    with pytest.raises(BadRequest, match=f"{SIGNATURE} does not fit"):
        doorman().admit(claim_of(headers), "GET", PATH)


def test_another_servers_request_is_refused_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signing, "verify_sr25519", lambda *_: pytest.fail("this costs CPU"))
    with pytest.raises(BadRequest) as refused:
        doorman().greet(claim_of(sign(MINER, BOB.hotkey, "GET", PATH)))
    assert (refused.value.status, str(refused.value)) == (
        403, f"Assay-Signed-For is another server: this one's hotkey is {ALICE.hotkey.hex()}",
    )  # fmt: skip


def test_another_chains_request_is_refused() -> None:
    door = Doorman(b"\x11" * 32, ALICE.hotkey)
    with pytest.raises(BadRequest, match="does not fit"):
        door.admit(claim_of(sign(MINER, ALICE.hotkey, "GET", PATH)), "GET", PATH)


@pytest.mark.parametrize(("late", "said"), [(WINDOW_MS + 1, "-30.0 s"), (-WINDOW_MS - 1, "+30.0 s")])
def test_the_past_and_the_future_are_refused(late: int, said: str) -> None:
    claim = claim_of(sign(MINER, ALICE.hotkey, "GET", PATH))
    with pytest.raises(BadRequest) as refused:
        doorman(claim.timestamp + late).greet(claim)
    assert (refused.value.status, str(refused.value)) == (
        401, f"the clocks are {said} apart, at most 30 s: set yours",
    )  # fmt: skip
    doorman(claim.timestamp + late - (1 if late > 0 else -1)).admit(claim, "GET", PATH)


def test_a_nonce_is_remembered_for_as_long_as_it_could_be_used_again() -> None:
    now = [0]
    door = Doorman(GENESIS, ALICE.hotkey, lambda: now[0])
    claim = claim_of(sign(MINER, ALICE.hotkey, "GET", PATH))
    for when in (claim.timestamp - WINDOW_MS, claim.timestamp, claim.timestamp + WINDOW_MS):
        now[0] = when
        with pytest.raises(BadRequest, match="before") if when > claim.timestamp - WINDOW_MS else _nothing():
            door.admit(claim, "GET", PATH)


class _nothing:
    def __enter__(self) -> None:
        """Expect nothing."""

    def __exit__(self, *problem: object) -> None:
        """Let everything pass."""


def test_the_memory_for_nonces_is_bounded_for_each_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "verify_sr25519", lambda *_: True)
    now = [1_000_000]
    door = Doorman(GENESIS, ALICE.hotkey, lambda: now[0])

    def ask(signer: bytes, number: int) -> None:
        nonce = number.to_bytes(16, "little")
        door.admit(Claim(signer, ALICE.hotkey, now[0], nonce, bytes(64)), "GET", PATH)

    for number in range(MOST_NONCES):
        ask(MINER.hotkey, number)
    with pytest.raises(BadRequest) as refused:
        ask(MINER.hotkey, MOST_NONCES)
    assert (refused.value.status, str(refused.value)) == (429, "more than 2048 requests within 60 s: wait")
    ask(BOB.hotkey, 0)
    now[0] += WINDOW_MS + 1
    ask(MINER.hotkey, MOST_NONCES)


def test_the_memory_for_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "verify_sr25519", lambda *_: True)
    now = [1_000_000]
    door = Doorman(GENESIS, ALICE.hotkey, lambda: now[0])
    for number in range(3 * signing.MOST_CALLERS):
        now[0] += 2 * WINDOW_MS // signing.MOST_CALLERS
        signer = number.to_bytes(32, "little")
        door.admit(Claim(signer, ALICE.hotkey, now[0], bytes(16), bytes(64)), "GET", PATH)
        assert len(door._seen) <= signing.MOST_CALLERS


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_missing_or_odd_is_named(name: str) -> None:
    headers = sign(MINER, ALICE.hotkey, "GET", PATH)
    for odd in (
        "",
        "0x00",
        headers[name] + " ",
        headers[name].upper() + "A",
        "é" * 64,
        "9" * 1_000,
        "-1",
        "²",
    ):
        with pytest.raises(BadRequest, match=f"^{name} is not "):
            read({**headers, name: odd})
    del headers[name]
    with pytest.raises(BadRequest) as refused:
        read(headers)
    assert str(refused.value) == f"{name} is missing: send all five Assay headers, or none"


def test_no_headers_are_a_stranger() -> None:
    assert read({"Host": "example.org"}) is None


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 10**16 - 1),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=64, max_size=64),
)
def test_a_claim_is_read_as_it_was_written(
    signer: bytes, receiver: bytes, timestamp: int, nonce: bytes, signature: bytes
) -> None:
    claim = Claim(signer, receiver, timestamp, nonce, signature)
    assert read(claim.headers()) == claim
    assert claim.message(GENESIS, "GET", PATH, EMPTY) != claim.message(GENESIS, "HEAD", PATH, EMPTY)
