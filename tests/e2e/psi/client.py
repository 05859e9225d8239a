"""Every check of the matrix through the real py-substrate-interface; prints what it found as one JSON object.

python client.py JSON      where JSON is the order of tests/e2e/matrix.py
"""

import json
import sys
import traceback
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from substrateinterface import Keypair, KeypairType, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

UNIT = 10**12
"""planck"""
TIP = 7
"""planck"""


class Program:
    """One client, its payer, and the checks; each check returns what it found."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.client = SubstrateInterface(url=order["url"], auto_discover=False)
        self.at: str = order["at"]
        self.proof_keys: list[str] = order["proof_keys"]
        self.seed: str = order["seeds"]["ed25519"]
        self.payer = Keypair.create_from_uri(order["payer"])
        self.others = [self.fresh(name) for name in ("second", "third")]

    def checks(self) -> dict[str, Callable[[], Any]]:
        """Return the checks by their names."""
        return {name[6:]: getattr(self, name) for name in dir(self) if name.startswith("check_")}

    # What the checks share.

    @staticmethod
    def fresh(name: str) -> Keypair:
        return Keypair.create_from_uri(f"//psi//{name}")

    def rpc(self, method: str, *params: Any) -> Any:
        return self.client.rpc_request(method, list(params))["result"]

    def give(self, to: Keypair, value: int = UNIT) -> Any:
        return self.client.compose_call(
            "Balances", "transfer_keep_alive", {"dest": to.ss58_address, "value": value}
        )

    def remark(self, text: str) -> Any:
        return self.client.compose_call("System", "remark", {"remark": text})

    def sign(self, call: Any, by: Keypair | None = None, **options: Any) -> Any:
        return self.client.create_signed_extrinsic(call, by or self.payer, **options)

    def send(self, call: Any, by: Keypair | None = None, **options: Any) -> Any:
        return self.client.submit_extrinsic(self.sign(call, by, **options), wait_for_inclusion=True)

    def fund(self, *who: Keypair) -> None:
        calls = [self.give(each, 10 * UNIT) for each in who]
        receipt = self.send(self.client.compose_call("Utility", "batch_all", {"calls": calls}))
        assert receipt.is_success, receipt.error_message

    def free(self, who: Keypair, block: str | None = None) -> int:
        return int(self.client.query("System", "Account", [who.ss58_address], block).value["data"]["free"])

    def refusal(self, extrinsic: Any) -> dict[str, Any]:
        try:
            self.client.submit_extrinsic(extrinsic)
        except SubstrateRequestException as problem:
            return dict(problem.args[0])
        return {}

    def heads(self, enough: Callable[[int], bool], **options: Any) -> list[int]:
        """Return the heights of new heads until there are enough."""
        seen: list[int] = []

        def on_head(head: dict[str, Any], *_: Any) -> list[int] | None:
            seen.append(head["header"]["number"])
            return seen if enough(len(seen)) else None

        return list(self.client.subscribe_block_headers(on_head, **options))

    def watch(self, extrinsic: Any, on_status: Callable[[Any], bool]) -> tuple[list[Any], str]:
        """Submit, and return every status until one is enough, and the subscription's id."""
        seen: list[Any] = []

        def on_message(message: dict[str, Any], _: int, subscription: str) -> Any:
            seen.append(message["params"]["result"])
            return (seen, subscription) if on_status(seen[-1]) else None

        return self.client.rpc_request(
            "author_submitAndWatchExtrinsic", [str(extrinsic.data)], result_handler=on_message
        )

    # The checks.

    def check_connect(self) -> Any:
        self.client.init_runtime()
        return {
            "chain": self.client.chain,
            "prefix": self.client.ss58_format,
            "decimals": self.client.token_decimals,
            "symbol": self.client.token_symbol,
            "spec": self.client.get_constant("System", "Version").value["spec_name"],
            "metadata": int(self.client.metadata[1].index),
        }

    def check_storage(self) -> Any:
        self.client.init_runtime(block_hash=self.at)
        found = {}
        for pallet in self.client.metadata.pallets:
            for item in pallet.storage or []:
                if item.name.startswith(":"):  # its own addition: pallets' versions are in no metadata
                    continue
                name = f"{pallet.name}.{item.name}"
                if "Plain" in item.value["type"]:
                    self.client.query(pallet.name, item.name, block_hash=self.at)
                    found[name] = 1
                else:
                    entries = self.client.query_map(
                        pallet.name, item.name, block_hash=self.at, ignore_decoding_errors=False
                    )
                    found[name] = len(list(entries))
        return found

    def check_constants(self) -> Any:
        found = {}
        for pallet in self.client.metadata.pallets:
            for constant in pallet.constants or []:
                value = self.client.get_constant(pallet.name, constant.name).value
                found[f"{pallet.name}.{constant.name}"] = str(value) if type(value) is int else None
        return found

    def check_accounts(self) -> Any:
        entries = list(self.client.query_map("System", "Account", block_hash=self.at, page_size=5))
        total = sum(value.value["data"]["free"] + value.value["data"]["reserved"] for _, value in entries)
        issuance = self.client.query("Balances", "TotalIssuance", block_hash=self.at).value
        return {
            "listed": [key.value for key, _ in entries],
            "sum": str(total),
            "issuance": str(issuance),
        }

    def check_old_blocks(self) -> Any:
        hashes = [self.client.get_block_hash(number) for number in range(3)]
        block = self.client.get_block(hashes[2])
        events = self.client.get_events(hashes[2])
        calls = [each.value["call"] for each in block["extrinsics"]]
        return {
            "hashes": hashes,
            "numbers": [self.client.query("System", "Number", block_hash=each).value for each in hashes],
            "calls": [f"{each['call_module']}.{each['call_function']}" for each in calls],
            "parent": block["header"]["parentHash"],
            "event": f"{events[-1].value['module_id']}.{events[-1].value['event_id']}",
            "free": [str(self.free(self.payer, each)) for each in hashes],
        }

    def check_fees(self) -> Any:
        call = self.give(self.fresh("fees"))
        guess = self.client.get_payment_info(call, self.payer)["partialFee"]
        extrinsic = self.sign(call, tip=TIP)
        receipt = self.client.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        parent = self.client.get_block_header(receipt.block_hash)["header"]["parentHash"]
        encoded = str(extrinsic.data)
        parts = self.rpc("payment_queryFeeDetails", encoded, parent)["inclusionFee"]
        return {
            "guess": str(guess),
            "estimate": self.rpc("payment_queryInfo", encoded, parent)["partialFee"],
            "parts": [str(int(part, 16)) for part in parts.values()],
            "tip": str(TIP),
            "paid": str(receipt.total_fee_amount),
            "lost": str(self.free(self.payer, parent) - self.free(self.payer, receipt.block_hash) - UNIT),
        }

    def check_transfers(self) -> Any:
        edward = Keypair.create_from_seed(self.seed, crypto_type=KeypairType.ED25519)
        self.fund(edward)
        found = {}
        for scheme, sender in (("sr25519", self.payer), ("ed25519", edward)):
            to = self.fresh(f"transfers//{scheme}")
            receipt = self.send(self.give(to), sender)
            found[scheme] = [receipt.is_success, str(self.free(to))]
        return found

    def check_mortality(self) -> Any:
        extrinsic = self.sign(self.remark("0x01"), era={"period": 16})
        receipt = self.client.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        included = receipt.extrinsic.value
        return {
            "success": receipt.is_success,
            "period": included["era"][0],
            "mode": included["mode"],
            "dead": self.refusal(self.sign(self.remark("0x02"), era={"period": 4, "current": 1})),
        }

    def check_in_flight(self) -> Any:
        first = self.client.get_account_nonce(self.payer.ss58_address)
        call = self.give(self.fresh("crowd"))
        sent = [self.sign(call, nonce=first + offset) for offset in range(20)]
        hashes = [self.client.submit_extrinsic(each).extrinsic_hash for each in reversed(sent)]
        self.heads(lambda _: self.client.get_account_nonce(self.payer.ss58_address) == first + 20)
        return hashes[::-1]

    def check_batches(self) -> Any:
        to = self.fresh("batches")
        calls = [self.give(to), self.give(to, 10**30), self.give(to)]
        found = {}
        for name in ("batch", "batch_all"):
            receipt = self.send(self.client.compose_call("Utility", name, {"calls": calls}))
            events = [event.value["event"] for event in receipt.triggered_events]
            said = {each["event_id"]: each["attributes"] for each in events}
            stop, failure = said.get("BatchInterrupted"), said.get("ExtrinsicFailed")
            found[name] = {
                "success": receipt.is_success,
                "done": sum(each["event_id"] == "ItemCompleted" for each in events),
                "stopped": stop and [stop["index"], stop["error"]["Token"]],
                "error": failure and failure["dispatch_error"]["Token"],
                "received": str(self.free(to)),
            }
        return found

    def check_failure(self) -> Any:
        before = self.free(self.payer)
        receipt = self.send(self.client.compose_call("Sudo", "sudo", {"call": self.remark("0x03")}))
        pallets = {
            error.name: pallet.name
            for pallet in self.client.metadata.pallets
            for error in pallet.errors or []
        }
        name = receipt.error_message["name"]
        return {
            "success": receipt.is_success,
            "error": f"{pallets[name]}.{name}",
            "charged": before - self.free(self.payer) == receipt.total_fee_amount > 0,
        }

    def check_replacement(self) -> Any:
        nonce = self.client.get_account_nonce(self.payer.ss58_address)
        cheap = self.sign(self.remark("0x04"), nonce=nonce + 1)
        dear = self.sign(self.remark("0x05"), nonce=nonce + 1, tip=UNIT)
        sent: list[str] = []

        def on_status(status: Any) -> bool:
            if status in ("future", "ready"):
                sent.append(self.rpc("author_submitExtrinsic", str(dear.data)))
            return isinstance(status, dict) and "usurped" in status

        statuses, _ = self.watch(cheap, on_status)
        again = self.sign(self.remark("0x06"), nonce=nonce + 1, tip=UNIT)
        same, lower = self.refusal(dear), self.refusal(again)
        self.rpc("author_submitExtrinsic", str(self.sign(self.remark("0x07"), nonce=nonce).data))
        self.heads(lambda _: self.client.get_account_nonce(self.payer.ss58_address) == nonce + 2)
        return {
            "old": list(statuses[-1]),
            "by": statuses[-1]["usurped"],
            "new": sent[0],
            "same": same,
            "lower": [lower["code"], lower["message"].split(":")[0]],
        }

    def check_refusals(self) -> Any:
        stale = self.sign(self.remark("0x08"), nonce=0)
        return {
            "bad_signature": self.refusal(self.sign(self.remark("0x09"), signature="0x" + "01" * 64)),
            "stale": self.refusal(stale),
            "again": self.refusal(stale),
            "no_money": self.refusal(self.sign(self.remark("0x0a"), self.fresh("pauper"))),
        }

    def check_unwatch(self) -> Any:
        def is_final(status: Any) -> bool:
            return isinstance(status, dict) and "finalized" in status

        statuses, subscription = self.watch(self.sign(self.remark("0x0b")), is_final)
        names = [each if isinstance(each, str) else next(iter(each)) for each in statuses]
        return {"statuses": names, "answer": self.rpc("author_unwatchExtrinsic", subscription)}

    def check_subscriptions(self) -> Any:
        values: list[int] = []

        def on_value(_: Any, value: Any, *__: Any) -> list[int] | None:
            values.append(value.value)
            return values if len(values) == 3 else None

        key = self.client.create_storage_key("System", "Number")
        return {
            "heads": self.heads(lambda count: count == 3),
            "finalized": self.heads(lambda count: count == 3, finalized_only=True),
            "storage": self.client.subscribe_storage([key], on_value),
        }

    def check_headers(self) -> Any:
        found = {}
        for number in (0, 1, 2, self.client.get_block_number(self.at)):
            header = self.rpc("chain_getHeader", self.client.get_block_hash(number))
            logs = header["digest"]["logs"]
            encoded = [
                header["parentHash"][2:],
                self.client.encode_scale("Compact<u32>", number).data.hex(),
                header["stateRoot"][2:],
                header["extrinsicsRoot"][2:],
                self.client.encode_scale("Compact<u32>", len(logs)).data.hex(),
                *(each[2:] for each in logs),
            ]
            hashed = blake2b(bytes.fromhex("".join(encoded)), digest_size=32)
            found[str(number)] = "0x" + hashed.hexdigest()
        return found

    def check_bodies(self) -> Any:
        block = self.client.get_block(self.at)
        return {
            "root": block["header"]["extrinsicsRoot"],
            "extrinsics": [str(each.data) for each in block["extrinsics"]],
        }

    def check_proofs(self) -> Any:
        return self.rpc("state_getReadProof", self.proof_keys, self.at)

    def check_runtime_apis(self) -> Any:
        address = self.payer.ss58_address
        nonce = self.client.runtime_call("AccountNonceApi", "account_nonce", [address]).value
        return {
            "nonces": [nonce, self.rpc("system_accountNextIndex", address)],
            "spec": self.client.runtime_call("Core", "version", []).value["spec_name"],
            **self.subnet(address),
        }

    def subnet(self, address: str) -> dict[str, Any]:
        """Ask the methods that need no description."""
        subnet = self.rpc("subnet_metagraph", 1)
        asked = {"netuid": 1, "hotkey": subnet["neurons"][0]["hotkey"], "max_price": 0}
        register = self.client.compose_call("Neurons", "burned_register", asked)
        refusal = self.rpc("subnet_checkCall", address, str(register.data))
        return {
            "subnet": [subnet["kind"], *([each["uid"], each["hotkey"]] for each in subnet["neurons"])],
            "refusal": [refusal["pallet"], refusal["name"], refusal["name"]],
        }

    def check_multisig(self) -> Any:
        self.fund(*self.others)
        party = [self.payer, *self.others]
        account = self.client.generate_multisig_account([each.ss58_address for each in party], 2)
        self.send(
            self.client.compose_call(
                "Balances", "transfer_keep_alive", {"dest": account.ss58_address, "value": 9 * UNIT}
            )
        )
        to = self.fresh("multisig")
        waiting = []
        for signer in party[1:]:
            extrinsic = self.client.create_multisig_extrinsic(self.give(to), signer, account)
            receipt = self.client.submit_extrinsic(extrinsic, wait_for_inclusion=True)
            assert receipt.is_success, receipt.error_message
            waiting.append(len(list(self.client.query_map("Multisig", "Multisigs", [account.value]))))
        return {"waiting": waiting, "received": str(self.free(to))}

    def check_proxy(self) -> Any:
        delegate = self.fresh("delegate")
        self.fund(delegate)
        right = {"delegate": delegate.ss58_address, "proxy_type": "NonTransfer", "delay": 0}
        assert self.send(self.client.compose_call("Proxy", "add_proxy", right)).is_success
        outcomes = []
        for call in (self.remark("0x0c"), self.give(delegate)):
            arguments = {"real": self.payer.ss58_address, "force_proxy_type": None, "call": call}
            receipt = self.send(self.client.compose_call("Proxy", "proxy", arguments), delegate)
            events = [each.value["event"] for each in receipt.triggered_events]
            executed = next(each for each in events if each["event_id"] == "ProxyExecuted")
            outcomes.append("Ok" if "Ok" in executed["attributes"]["result"] else "Err")
        assert self.send(self.client.compose_call("Proxy", "remove_proxies", {})).is_success
        left = self.client.query("Proxy", "Proxies", [self.payer.ss58_address]).value
        return {"outcomes": outcomes, "left": [len(left[0]), str(left[1])]}


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Make every check; one that fails says where."""
    found = {}
    for name, check in Program(order).checks().items():
        print(name, file=sys.stderr)
        try:
            found[name] = check()
        except Exception:  # noqa: BLE001 (whatever it was, the matrix shows it)
            found[name] = {"failed": traceback.format_exc()}
    return found


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
