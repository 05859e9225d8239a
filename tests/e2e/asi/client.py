"""Every check of the matrix through the real async-substrate-interface; prints its findings as JSON.

python client.py JSON      where JSON is the order of tests/e2e/matrix.py
"""

import ast
import asyncio
import json
import logging
import sys
import traceback
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

import sr25519
from async_substrate_interface import AsyncSubstrateInterface
from async_substrate_interface.errors import SubstrateRequestException
from coincurve import PrivateKey
from nacl.signing import SigningKey
from scalecodec.utils.ss58 import ss58_encode

UNIT = 10**12
"""planck"""
TIP = 7
"""planck"""
PREFIX = 42


def blake2_256(data: bytes) -> bytes:
    """Return the 32-byte BLAKE2b hash."""
    return blake2b(data, digest_size=32).digest()


class Signer:
    """A key, as much of one as the client asks for; it brings none of its own."""

    ss58_format = PREFIX

    def __init__(self, crypto_type: int, public: bytes, sign: Callable[[bytes], bytes]) -> None:
        self.crypto_type = crypto_type
        self.public_key = public
        self.ss58_address = ss58_encode(public, PREFIX)
        self._sign = sign

    def sign(self, data: bytearray) -> bytes:
        """Sign a payload."""
        return self._sign(bytes(data))

    @classmethod
    def sr25519(cls, pair: list[str]) -> "Signer":
        """Return an sr25519 key from its public and secret key in hex."""
        public, secret = (bytes.fromhex(half) for half in pair)
        return cls(1, public, lambda data: bytes(sr25519.sign((public, secret), data)))

    @classmethod
    def ed25519(cls, seed: str) -> "Signer":
        """Return an ed25519 key from its seed."""
        key = SigningKey(bytes.fromhex(seed[2:]))
        return cls(0, bytes(key.verify_key), lambda data: bytes(key.sign(data).signature))

    @classmethod
    def ecdsa(cls, seed: str) -> "Signer":
        """Return an ecdsa key from its seed; its account is the hash of the public key."""
        key = PrivateKey(bytes.fromhex(seed[2:]))
        account = blake2_256(key.public_key.format())
        return cls(2, account, lambda data: key.sign_recoverable(blake2_256(data), hasher=None))


class Program:
    """One client, its payer, and the checks; each check returns what it found."""

    def __init__(self, client: AsyncSubstrateInterface, order: dict[str, Any]) -> None:
        self.client = client
        self.order = order
        self.at: str = order["at"]
        self.payer = self.known("payer")

    def checks(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """Return the checks by their names."""
        return {name[6:]: getattr(self, name) for name in dir(self) if name.startswith("check_")}

    # What the checks share.

    def known(self, name: str) -> Signer:
        return Signer.sr25519(self.order["pairs"][name])

    async def rpc(self, method: str, *params: Any) -> Any:
        return (await self.client.rpc_request(method, list(params)))["result"]

    async def give(self, to: Signer, value: int = UNIT) -> Any:
        return await self.call("Balances", "transfer_keep_alive", dest=to.ss58_address, value=value)

    async def call(self, pallet: str, name: str, **arguments: Any) -> Any:
        return await self.client.compose_call(pallet, name, arguments)

    async def remark(self, text: str) -> Any:
        return await self.call("System", "remark", remark=text)

    async def nonce(self, who: Signer | None = None) -> int:
        return int(await self.rpc("account_nextIndex", (who or self.payer).ss58_address))

    async def included_nonce(self) -> int:
        account = await self.client.query("System", "Account", [self.payer.ss58_address])
        return int(account["nonce"])

    async def sign(self, call: Any, by: Signer | None = None, **options: Any) -> Any:
        signer = by or self.payer
        options = {"nonce": await self.nonce(signer), **options}
        return await self.client.create_signed_extrinsic(call, signer, **options)

    async def send(self, call: Any, by: Signer | None = None, **options: Any) -> Any:
        return await self.client.submit_extrinsic(
            await self.sign(call, by, **options), wait_for_inclusion=True
        )

    async def fund(self, *who: Signer) -> None:
        calls = [await self.give(each, 10 * UNIT) for each in who]
        receipt = await self.send(await self.call("Utility", "batch_all", calls=calls))
        assert await receipt.is_success, await receipt.error_message

    async def free(self, who: Signer, block: str | None = None) -> int:
        account = await self.client.query("System", "Account", [who.ss58_address], block_hash=block)
        return int(account["data"]["free"])

    async def refusal(self, extrinsic: Any) -> dict[str, Any]:
        try:
            await self.client.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        except SubstrateRequestException as problem:
            return dict(ast.literal_eval(problem.args[0])["error"])
        return {}

    async def heads(self, enough: Callable[[int], Awaitable[bool]], **options: Any) -> list[int]:
        """Return the heights of new heads until there are enough."""
        seen: list[int] = []

        async def on_head(block: dict[str, Any], *_: Any) -> bool | None:
            seen.append(block["header"]["number"])
            return True if await enough(len(seen)) else None

        await self.client.subscribe_block_headers(on_head, **options)
        return seen

    async def watch(
        self, extrinsic: Any, on_status: Callable[[Any], Awaitable[bool]]
    ) -> tuple[list[Any], str]:
        """Submit, and return every status until one is enough, and the subscription's id."""
        seen: list[Any] = []
        watched: list[str] = []

        async def on_message(message: dict[str, Any], subscription: str) -> tuple[dict[str, Any], bool]:
            if "params" not in message:
                return message, False
            watched[:] = [subscription]
            seen.append(message["params"]["result"])
            return message, await on_status(seen[-1])

        await self.client.rpc_request(
            "author_submitAndWatchExtrinsic", [str(extrinsic.data)], result_handler=on_message
        )
        return seen, watched[0]

    @staticmethod
    async def events(receipt: Any) -> dict[str, Any]:
        """Return the last event of each name."""
        listed = [each["event"] for each in await receipt.triggered_events]
        return {each["event_id"]: each["attributes"] for each in listed}

    # The checks.

    async def check_connect(self) -> Any:
        runtime = await self.client.init_runtime()
        return {
            "chain": self.client.chain,
            "prefix": (await self.client.properties)["ss58Format"],
            "decimals": await self.client.token_decimals,
            "symbol": await self.client.token_symbol,
            "spec": (await self.client.get_constant("System", "Version")).value["spec_name"],
            "metadata": int(next(iter(runtime.metadata.value[1]))[1:]),
        }

    async def check_storage(self) -> Any:
        runtime = await self.client.init_runtime(block_hash=self.at)
        found = {}
        for pallet in runtime.metadata.pallets:
            for item in pallet.storage or []:
                name = f"{pallet.name}.{item.value['name']}"
                place = (pallet.name, item.value["name"])
                if item.value["name"].startswith(
                    ":"
                ):  # its own addition: pallets' versions are in no metadata
                    continue
                if "Plain" in item.value["type"]:
                    await self.client.query(*place, block_hash=self.at)
                    found[name] = 1
                else:
                    entries = await self.client.query_map(*place, block_hash=self.at)
                    found[name] = len([key async for key, _ in entries])
        return found

    async def check_constants(self) -> Any:
        found = {}
        runtime = await self.client.init_runtime()
        for pallet in runtime.metadata.pallets:
            for constant in pallet.constants or []:
                name = constant.value["name"]
                value = (await self.client.get_constant(pallet.name, name)).value
                found[f"{pallet.name}.{name}"] = str(value) if type(value) is int else None
        return found

    async def check_accounts(self) -> Any:
        entries = await self.client.query_map("System", "Account", block_hash=self.at, page_size=5)
        listed = [(key, value["data"]) async for key, value in entries]
        issuance = await self.client.query("Balances", "TotalIssuance", block_hash=self.at)
        return {
            "listed": [key for key, _ in listed],
            "sum": str(sum(each["free"] + each["reserved"] for _, each in listed)),
            "issuance": str(issuance.value),
        }

    async def check_old_blocks(self) -> Any:
        hashes = [await self.client.get_block_hash(number) for number in range(3)]
        block = await self.client.get_block(block_hash=hashes[2])
        events = await self.client.get_events(hashes[2])
        calls = [each.value["call"] for each in block["extrinsics"]]
        numbers = [await self.client.query("System", "Number", block_hash=each) for each in hashes]
        return {
            "hashes": hashes,
            "numbers": [each.value for each in numbers],
            "calls": [f"{each['call_module']}.{each['call_function']}" for each in calls],
            "parent": block["header"]["parentHash"],
            "event": f"{events[-1]['module_id']}.{events[-1]['event_id']}",
            "free": [str(await self.free(self.payer, each)) for each in hashes],
        }

    async def check_fees(self) -> Any:
        call = await self.give(self.known("fees"))
        guess = await self.client.get_payment_info(call, self.payer, tip=TIP)
        extrinsic = await self.sign(call, tip=TIP)
        receipt = await self.client.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        parent = await self.client.get_parent_block_hash(receipt.block_hash)
        sent = [extrinsic, len(extrinsic.data)]
        estimate, details = [
            await self.client.runtime_call("TransactionPaymentApi", name, sent, parent)
            for name in ("query_info", "query_fee_details")
        ]
        lost = await self.free(self.payer, parent) - await self.free(self.payer, receipt.block_hash)
        return {
            "guess": str(guess["partial_fee"]),
            "estimate": str(estimate["partial_fee"]),
            "parts": [str(part) for part in details["inclusion_fee"].values()],
            "tip": str(TIP),
            "paid": str(await receipt.total_fee_amount),
            "lost": str(lost - UNIT),
        }

    async def check_transfers(self) -> Any:
        seeds = self.order["seeds"]
        edward, eckert = Signer.ed25519(seeds["ed25519"]), Signer.ecdsa(seeds["ecdsa"])
        await self.fund(edward, eckert)
        found = {}
        for scheme, sender in (("sr25519", self.payer), ("ed25519", edward), ("ecdsa", eckert)):
            to = self.known(f"transfers//{scheme}")
            receipt = await self.send(await self.give(to), sender)
            found[scheme] = [await receipt.is_success, str(await self.free(to))]
        return found

    async def check_mortality(self) -> Any:
        extrinsic = await self.sign(await self.remark("0x01"), era={"period": 16})
        receipt = await self.client.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        block = await self.client.get_block(block_hash=receipt.block_hash)
        signed = [each.value for each in block["extrinsics"] if "address" in each.value]
        included = next(each for each in signed if each["address"] == self.payer.ss58_address)
        dead = await self.sign(await self.remark("0x02"), era={"period": 4, "current": 1})
        return {
            "success": await receipt.is_success,
            "period": included["era"][0],
            "mode": included["mode"],
            "dead": await self.refusal(dead),
        }

    async def check_in_flight(self) -> Any:
        first = await self.nonce()
        call = await self.give(self.known("crowd"))
        sent = [await self.sign(call, nonce=first + offset) for offset in range(20)]
        receipts = await asyncio.gather(*(self.client.submit_extrinsic(each) for each in reversed(sent)))

        async def is_over(_: int) -> bool:
            return await self.included_nonce() == first + 20

        await self.heads(is_over)
        return [each.extrinsic_hash for each in reversed(receipts)]

    async def check_batches(self) -> Any:
        to = self.known("batches")
        calls = [await self.give(to), await self.give(to, 10**30), await self.give(to)]
        found = {}
        for name in ("batch", "batch_all"):
            receipt = await self.send(await self.call("Utility", name, calls=calls))
            said = await self.events(receipt)
            names = [each["event"]["event_id"] for each in await receipt.triggered_events]
            stop, failure = said.get("BatchInterrupted"), said.get("ExtrinsicFailed")
            found[name] = {
                "success": await receipt.is_success,
                "done": names.count("ItemCompleted"),
                "stopped": stop and [stop["index"], stop["error"]["Token"]],
                "error": failure and failure["dispatch_error"]["Token"],
                "received": str(await self.free(to)),
            }
        return found

    async def check_failure(self) -> Any:
        before = await self.free(self.payer)
        receipt = await self.send(await self.call("Sudo", "sudo", call=await self.remark("0x03")))
        name = (await receipt.error_message)["name"]
        errors = await self.client.get_metadata_errors()
        lost = before - await self.free(self.payer)
        return {
            "success": await receipt.is_success,
            "error": next(f"{each['module_name']}.{name}" for each in errors if each["error_name"] == name),
            "charged": lost == await receipt.total_fee_amount > 0,
        }

    async def check_replacement(self) -> Any:
        nonce = await self.nonce()
        cheap = await self.sign(await self.remark("0x04"), nonce=nonce + 1)
        dear = await self.sign(await self.remark("0x05"), nonce=nonce + 1, tip=UNIT)
        again = await self.sign(await self.remark("0x06"), nonce=nonce + 1, tip=UNIT)
        filler = await self.sign(await self.remark("0x07"), nonce=nonce)
        sent: list[str] = []

        async def on_status(status: Any) -> bool:
            if status in ("future", "ready"):
                sent.append((await self.client.submit_extrinsic(dear)).extrinsic_hash)
            return isinstance(status, dict) and "usurped" in status

        statuses, _ = await self.watch(cheap, on_status)
        same, lower = await self.refusal(dear), await self.refusal(again)
        await self.client.submit_extrinsic(filler)

        async def is_over(_: int) -> bool:
            return await self.included_nonce() == nonce + 2

        await self.heads(is_over)
        return {
            "old": list(statuses[-1]),
            "by": statuses[-1]["usurped"],
            "new": sent[0],
            "same": same,
            "lower": [lower["code"], lower["message"].split(":")[0]],
        }

    async def check_refusals(self) -> Any:
        stale = await self.sign(await self.remark("0x08"), nonce=0)
        forged = await self.sign(await self.remark("0x09"), signature="0x" + "01" * 64)
        poor = await self.sign(await self.remark("0x0a"), self.known("pauper"))
        return {
            "bad_signature": await self.refusal(forged),
            "stale": await self.refusal(stale),
            "again": await self.refusal(stale),
            "no_money": await self.refusal(poor),
        }

    async def check_unwatch(self) -> Any:
        async def is_final(status: Any) -> bool:
            return isinstance(status, dict) and "finalized" in status

        statuses, subscription = await self.watch(await self.sign(await self.remark("0x0b")), is_final)
        names = [each if isinstance(each, str) else next(iter(each)) for each in statuses]
        return {"statuses": names, "answer": await self.rpc("author_unwatchExtrinsic", subscription)}

    async def check_subscriptions(self) -> Any:
        async def three(count: int) -> bool:
            return count == 3

        return {"heads": await self.heads(three), "finalized": await self.heads(three, finalized_only=True)}

    async def check_headers(self) -> Any:
        found = {}
        for number in (0, 1, 2, await self.client.get_block_number(self.at)):
            header = await self.rpc("chain_getHeader", await self.client.get_block_hash(number))
            logs = header["digest"]["logs"]
            encoded = [
                header["parentHash"][2:],
                (await self.client.encode_scale("Compact<u32>", number)).hex(),
                header["stateRoot"][2:],
                header["extrinsicsRoot"][2:],
                (await self.client.encode_scale("Compact<u32>", len(logs))).hex(),
                *(each[2:] for each in logs),
            ]
            found[str(number)] = "0x" + blake2_256(bytes.fromhex("".join(encoded))).hex()
        return found

    async def check_bodies(self) -> Any:
        block = await self.client.get_block(block_hash=self.at)
        return {
            "root": block["header"]["extrinsicsRoot"],
            "extrinsics": [str(each.data) for each in block["extrinsics"]],
        }

    async def check_proofs(self) -> Any:
        return await self.rpc("state_getReadProof", self.order["proof_keys"], self.at)

    async def check_runtime_apis(self) -> Any:
        address = self.payer.ss58_address
        epoch = await self.client.runtime_call("BabeApi", "current_epoch")
        length = {"call": await self.remark("0x04"), "len": 100}
        quoted = await self.client.runtime_call("TransactionPaymentCallApi", "query_call_info", length)
        validity = ["External", b"\x08\x04\x00", "0x" + "00" * 32]
        subnet = await self.client.runtime_call("SubnetApi", "metagraph", [1])
        asked = {"netuid": 1, "hotkey": subnet["neurons"][0]["hotkey"], "max_price": 0}
        register = await self.client.compose_call("Neurons", "burned_register", asked)
        refusal = await self.client.runtime_call(
            "SubnetApi", "check_call", {"who": address, "call": register}
        )
        return {
            "subnet": [subnet["kind"], *([each["uid"], each["hotkey"]] for each in subnet["neurons"])],
            "refusal": [refusal["pallet"], refusal["name"], refusal["name"]],
            "nonces": [
                await self.client.runtime_call("AccountNonceApi", "account_nonce", [address]),
                await self.nonce(),
            ],
            "spec": (await self.client.runtime_call("Core", "version"))["spec_name"],
            "versions": await self.client.runtime_call("Metadata", "metadata_versions"),
            "epoch": [epoch["duration"], len(epoch["authorities"])],
            "class": quoted["class"],
            "keys": await self.client.runtime_call("SessionKeys", "decode_session_keys", ["0x00"]),
            "validity": await self.client.runtime_call(
                "TaggedTransactionQueue", "validate_transaction", validity
            ),
        }

    async def check_multisig(self) -> Any:
        party = [self.payer, self.known("second"), self.known("third")]
        await self.fund(*party[1:])
        account = self.client.generate_multisig_account([each.ss58_address for each in party], 2)
        await self.send(
            await self.call("Balances", "transfer_keep_alive", dest=account.ss58_address, value=9 * UNIT)
        )
        to = self.known("multisig")
        call = await self.give(to)
        weight = (await self.client.get_payment_info(call, self.payer))["weight"]
        waiting, when = [], None
        for signer in party[1:]:  # by hand: its create_multisig_extrinsic fails where nobody has approved yet
            others = [f"0x{each.public_key.hex()}" for each in party if each is not signer]
            multi = await self.call(
                "Multisig",
                "as_multi",
                threshold=2,
                other_signatories=sorted(others),
                maybe_timepoint=when,
                call=call,
                max_weight=weight,
            )
            receipt = await self.send(multi, signer)
            assert await receipt.is_success, await receipt.error_message
            opened = await self.client.query("Multisig", "Multisigs", [account.value, call.call_hash])
            when = opened.value and opened.value["when"]
            entries = await self.client.query_map("Multisig", "Multisigs", [account.value])
            waiting.append(len([key async for key, _ in entries]))
        return {"waiting": waiting, "received": str(await self.free(to))}

    async def check_proxy(self) -> Any:
        delegate = self.known("delegate")
        await self.fund(delegate)
        right = {"delegate": delegate.ss58_address, "proxy_type": "NonTransfer", "delay": 0}
        assert await (await self.send(await self.call("Proxy", "add_proxy", **right))).is_success
        outcomes = []
        for call in (await self.remark("0x0c"), await self.give(delegate)):
            proxied = await self.call(
                "Proxy", "proxy", real=self.payer.ss58_address, force_proxy_type=None, call=call
            )
            said = await self.events(await self.send(proxied, delegate))
            outcomes.append("Ok" if "Ok" in said["ProxyExecuted"]["result"] else "Err")
        assert await (await self.send(await self.call("Proxy", "remove_proxies"))).is_success
        left = (await self.client.query("Proxy", "Proxies", [self.payer.ss58_address])).value
        return {"outcomes": outcomes, "left": [len(left[0]), str(left[1])]}


async def main(order: dict[str, Any]) -> dict[str, Any]:
    """Make every check; one that fails says where."""
    logging.disable()
    found = {}
    async with AsyncSubstrateInterface(order["url"], ss58_format=PREFIX) as client:
        for name, check in Program(client, order).checks().items():
            print(name, file=sys.stderr)
            try:
                found[name] = await check()
            except Exception:  # noqa: BLE001 (whatever it was, the matrix shows it)
                found[name] = {"failed": traceback.format_exc()}
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
