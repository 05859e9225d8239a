"""What a Python program does through the real async-substrate-interface; prints one JSON object.

python client.py ws://127.0.0.1:9944 PUBLIC_KEY SECRET_KEY RECEIVER    (keys in hex, the receiver in SS58)
"""

import asyncio
import json
import sys
from typing import Any

import sr25519
from async_substrate_interface import AsyncSubstrateInterface
from scalecodec.utils.ss58 import ss58_encode

UNIT = 10**12
"""planck"""
PREFIX = 42
ERA = {"period": 16}
"""blocks"""


class Signer:
    """An sr25519 key, as much of one as the client asks for."""

    crypto_type = 1
    ss58_format = PREFIX

    def __init__(self, public: str, secret: str) -> None:
        self.public_key = bytes.fromhex(public)
        self._secret = bytes.fromhex(secret)
        self.ss58_address = ss58_encode(self.public_key, PREFIX)

    def sign(self, data: bytearray) -> bytes:
        """Sign a payload."""
        return sr25519.sign((self.public_key, self._secret), bytes(data))


async def free(client: AsyncSubstrateInterface, who: str, block: str | None = None) -> int:
    """Return an account's free balance, planck."""
    account = await client.query("System", "Account", [who], block_hash=block)
    return int(account["data"]["free"])


async def read(client: AsyncSubstrateInterface, who: str) -> dict[str, Any]:
    """Read state, old and new, and constants."""
    runtime = await client.init_runtime()
    entries = await client.query_map("System", "Account", page_size=5)
    accounts = {account: value async for account, value in entries}
    genesis = await client.get_block_hash(0)
    second = await client.get_block_hash(2)
    block = await client.get_block(block_hash=second)
    return {
        "metadata": runtime.metadata.value[1].popitem()[0],
        "apis": sorted(runtime.runtime_api_map),
        "accounts": len(accounts),
        "same": accounts[who]["data"]["free"] == await free(client, who),
        "numbers": [
            (await client.query("System", "Number", block_hash=each)).value for each in (genesis, second)
        ],
        "calls": [each.value["call"]["call_module"] for each in block["extrinsics"]],
        "parent": block["header"]["parentHash"] == await client.get_block_hash(1),
        "slot": (await client.get_constant("Babe", "ExpectedBlockTime")).value,
        "hashes": [genesis, second],
    }


async def call(client: AsyncSubstrateInterface, who: str, transfer: Any) -> dict[str, Any]:
    """Ask runtime APIs, by nothing but what metadata V15 says of them."""
    version = await client.runtime_call("Core", "version")
    epoch = await client.runtime_call("BabeApi", "current_epoch")
    voters = await client.runtime_call("GrandpaApi", "grandpa_authorities")
    length = {"call": transfer, "len": 100}
    quoted = await client.runtime_call("TransactionPaymentCallApi", "query_call_info", length)
    validity = ["External", b"\x08\x04\x00", "0x" + "00" * 32]
    return {
        "spec": version["spec_name"],
        "versions": await client.runtime_call("Metadata", "metadata_versions"),
        "nonce": await client.runtime_call("AccountNonceApi", "account_nonce", [who]),
        "epoch": [epoch["duration"], len(epoch["authorities"]), len(voters)],
        "class": quoted["class"],
        "quoted": quoted["partial_fee"],
        "per_byte": await client.runtime_call("TransactionPaymentApi", "query_length_to_fee", {"length": 1}),
        "keys": await client.runtime_call("SessionKeys", "decode_session_keys", ["0x00"]),
        "validity": await client.runtime_call("TaggedTransactionQueue", "validate_transaction", validity),
    }


async def pay(
    client: AsyncSubstrateInterface, signer: Signer, receiver: str, transfer: Any
) -> dict[str, Any]:
    """Estimate, send until it is final, and look the money up; then fail, and say why."""
    estimated = await client.get_payment_info(transfer, signer, era=ERA)
    extrinsic = await client.create_signed_extrinsic(transfer, signer, era=ERA)
    receipt = await client.submit_extrinsic(extrinsic, wait_for_finalization=True)
    before = await client.get_parent_block_hash(receipt.block_hash)
    sent = [extrinsic, len(extrinsic.data)]
    details = await client.runtime_call("TransactionPaymentApi", "query_fee_details", sent, before)
    paid = await receipt.total_fee_amount
    inner = await client.compose_call("System", "remark", {"remark": "0x01"})
    sudo = await client.compose_call("Sudo", "sudo", {"call": inner})
    refused = await client.submit_extrinsic(
        await client.create_signed_extrinsic(sudo, signer), wait_for_inclusion=True
    )
    return {
        "success": await receipt.is_success,
        "estimated": abs(estimated["partial_fee"] - paid) < paid // 100,
        "explained": sum(details["inclusion_fee"].values()) == paid,
        "final": receipt.finalized,
        "received": await free(client, receiver, receipt.block_hash) - await free(client, receiver, before),
        "refused": [await refused.is_success, (await refused.error_message)["name"]],
    }


async def follow(client: AsyncSubstrateInterface) -> list[int]:
    """Return the heights of the next heads."""
    heights: list[int] = []

    async def seen(block: dict[str, Any], *_: Any) -> bool | None:
        heights.append(block["header"]["number"])
        return True if len(heights) == 3 else None

    await client.subscribe_block_headers(seen)
    return heights


async def main(url: str, public: str, secret: str, receiver: str) -> dict[str, Any]:
    """Do everything once."""
    signer = Signer(public, secret)
    async with AsyncSubstrateInterface(url, ss58_format=PREFIX) as client:
        arguments = {"dest": receiver, "value": UNIT}
        transfer = await client.compose_call("Balances", "transfer_keep_alive", arguments)
        return {
            "read": await read(client, signer.ss58_address),
            "call": await call(client, signer.ss58_address, transfer),
            "pay": await pay(client, signer, receiver, transfer),
            "follow": await follow(client),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
