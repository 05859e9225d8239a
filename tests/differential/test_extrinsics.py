"""Extrinsics and what is signed of them, against py-substrate-interface and @polkadot/types, for any call.

Headers of live networks are here too: whoever checks an extrinsic's block hashes one.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from scalecodec.base import ScaleBytes
from substrateinterface import Keypair, KeypairType, SubstrateInterface
from substrateinterface.transport.base import TransportBase

from runtime.frame.base import Call, RuntimeCall
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives.crypto import Ed25519
from runtime.primitives.era import IMMORTAL, Era, MortalEra
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import HEADER
from runtime.primitives.types import AccountId, Hash, Index, Raw
from runtime.runtime import EXECUTIVE, VERSION, AssayRuntime
from tests.differential.readers import polkadot_js
from tests.differential.samples import CALLS, METADATA, drawn, mentions
from tests.runtime.values import values

ROUNDS = 2
"""extrinsics of each call; `make differential` takes more"""
HEADERS = json.loads((Path(__file__).parents[1] / "vectors" / "live.json").read_text())["headers"]


class Offline(TransportBase):
    """A node that knows our metadata and the hash of every block."""

    def rpc_request(self, payload: dict[str, Any], result_handler: object = None) -> dict[str, Any]:
        """Answer a request."""
        match payload["method"], payload["params"]:
            case "chain_getBlockHash", [int(number)]:
                return {"result": "0x" + block_hash(number).hex()}
            case "chain_getBlockHash", []:
                return {"result": "0x" + block_hash(0).hex()}
            case "chain_getHeader", _:
                return {"result": {"parentHash": "0x" + block_hash(0).hex(), "number": "0x0"}}
            case "state_getRuntimeVersion" | "chain_getRuntimeVersion", _:
                transaction = VERSION.transaction_version
                return {"result": {"specVersion": VERSION.spec_version, "transactionVersion": transaction}}
            case "state_getMetadata", _:
                return {"result": "0x" + METADATA[14].hex()}
            case "system_chain", _:
                return {"result": "Assay Development"}
            case "rpc_methods", _:
                return {"result": {"methods": []}}
            case "system_properties", _:
                return {"result": {"ss58Format": 42}}
        raise AssertionError(f"nobody was to ask {payload}")


def block_hash(number: int) -> Hash:
    """Return a hash for a height."""
    return Hash(blake2_256(b"block %d" % number))


@cache
def interface() -> SubstrateInterface:
    """Return py-substrate-interface with metadata, offline."""
    client = SubstrateInterface(url="http://127.0.0.1:1", auto_discover=False)
    client.transport = Offline()
    client.init_runtime()
    return client


class Case:
    """A call and how it is signed."""

    def __init__(
        self, call: Call, nonce: int, tip: int, window: tuple[int, int] | None, signer: bytes
    ) -> None:
        self.call, self.nonce, self.tip, self.window, self.signer = (
            call,
            nonce,
            tip,
            window,
            AccountId(signer),
        )
        self.signature = blake2_256(signer) * 2

    @property
    def era(self) -> MortalEra:
        return MortalEra.at(*self.window) if self.window else IMMORTAL

    @property
    def birth(self) -> Hash:
        return block_hash(self.era.birth(self.window[1]) if self.window else 0)

    @property
    def encoded_call(self) -> bytes:
        return AssayRuntime.codecs.of(RuntimeCall).encode(self.call)

    @property
    def _extra(self) -> tuple[Any, ...]:
        return ((), (), (), (), self.era, self.nonce, (), self.tip, MetadataHashMode.Disabled, ())

    def payload(self) -> bytes:
        """Return the bytes that we say are signed."""
        versions = (VERSION.spec_version, VERSION.transaction_version)
        implied = ((), *versions, block_hash(0), self.birth, (), (), (), None, ())
        return EXECUTIVE.format.payload(self.call, self._extra, implied)

    def extrinsic(self) -> bytes:
        """Return the extrinsic as we write it."""
        return EXECUTIVE.format.signed(self.call, self.signer, Ed25519(self.signature), self._extra)


def cases(rounds: int) -> list[Case]:
    """Return so many signed extrinsics of every call; the same ones every time."""
    windows = st.none() | st.tuples(st.sampled_from([4, 8, 64, 4096, 65536]), st.integers(1, 10**6))
    tips = st.sampled_from([0, 1, 63, 64, 2**30, 2**128 - 1]) | st.integers(0, 2**128 - 1)
    nonces = st.sampled_from([0, 63, 64, 2**14, 2**32 - 1]) | st.integers(0, 2**32 - 1)
    found = []
    for pallet, spec in CALLS:
        arguments = st.tuples(*(values(annotation) for annotation in spec.wire_types))
        signing = st.tuples(nonces, tips, windows, st.binary(min_size=32, max_size=32))
        for each, how in drawn(st.tuples(arguments, signing), rounds):
            found.append(Case(Call(pallet.index, spec.index, each), *how))
    return found


@cache
def some() -> tuple[Case, ...]:
    """Return the cases of the short form."""
    return tuple(cases(ROUNDS))


def check_substrate_interface(listed: tuple[Case, ...]) -> int:
    """Let py-substrate-interface make payload and extrinsic of each case, and read ours; return how many."""
    client = interface()
    for case in listed:
        call = client.runtime_config.create_scale_object(
            "Call", data=ScaleBytes(case.encoded_call), metadata=client.metadata
        )
        call.decode(check_remaining=True)
        era = {"period": case.window[0], "current": case.window[1]} if case.window else "00"
        payload = client.generate_signature_payload(call, era=era, nonce=case.nonce, tip=case.tip)
        assert bytes(payload.data) == case.payload(), case.call
        read = client.runtime_config.create_scale_object(
            "Extrinsic", data=ScaleBytes(case.extrinsic()), metadata=client.metadata
        )
        read.decode(check_remaining=True)
        assert (read.value["nonce"], read.value["tip"], read.value["mode"]) == (
            case.nonce,
            case.tip,
            "Disabled",
        )
        signer = Keypair(public_key=bytes(case.signer), ss58_format=42, crypto_type=KeypairType.ED25519)
        assert read.value["address"] == signer.ss58_address
        if mentions(case.call.arguments, (Index, Call)):
            continue  # it does not write these in the form in which it reads them
        written = client.create_signed_extrinsic(
            call, signer, era=era, nonce=case.nonce, tip=case.tip, signature="0x" + case.signature.hex()
        )
        assert bytes(written.data.data) == case.extrinsic(), case.call
    return len(listed)


def check_polkadot_js(version: int, listed: tuple[Case, ...]) -> int:
    """Let @polkadot/types make payload and extrinsic of each case, and read ours; return how many."""
    chosen = [case for case in listed if not mentions(case.call, (Index, Raw))]
    signed = [
        {
            "call": "0x" + case.encoded_call.hex(),
            "signer": "0x" + case.signer.hex(),
            "signature": "0x00" + case.signature.hex(),
            "extrinsic": "0x" + case.extrinsic().hex(),
            "era": "0x" + AssayRuntime.codecs.of(Era).encode(case.era).hex(),
            "blockHash": "0x" + case.birth.hex(),
            "genesisHash": "0x" + block_hash(0).hex(),
            "nonce": case.nonce,
            "tip": hex(case.tip),
            "specVersion": VERSION.spec_version,
            "transactionVersion": VERSION.transaction_version,
        }
        for case in chosen
    ]
    for case, found in zip(chosen, polkadot_js(version, [], signed)["signed"], strict=True):
        encoded = "0x" + case.extrinsic().hex()
        assert found == {
            "payload": "0x" + case.payload().hex(),
            "written": encoded,
            "again": encoded,
            "hash": "0x" + blake2_256(case.extrinsic()).hex(),
            "tip": str(case.tip),
            "nonce": case.nonce,
            "signer": Keypair(public_key=bytes(case.signer), ss58_format=42).ss58_address,
        }, case.call
    return len(chosen)


def test_substrate_interface_signs_and_writes_what_we_do() -> None:
    assert check_substrate_interface(some()) >= len(CALLS)


@pytest.mark.node
def test_polkadot_js_signs_and_writes_what_we_do() -> None:
    assert check_polkadot_js(max(METADATA), some()) > 50


@pytest.mark.parametrize("live", HEADERS, ids=lambda each: each["network"])
def test_headers_of_live_networks_have_their_hashes(live: dict[str, Any]) -> None:
    encoded = bytes.fromhex(live["hex"])
    header = HEADER.decode(encoded)
    assert (header.number, header.hash().hex()) == (live["number"], live["hash"].removeprefix("0x"))
    assert header.encode() == encoded
