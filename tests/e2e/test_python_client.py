"""py-substrate-interface, unchanged, against a real node."""

from collections.abc import Iterator
from typing import Any

import pytest
from substrateinterface import Keypair, KeypairType, SubstrateInterface

from chain.keys import Keypair as OurKeypair
from runtime.primitives.hashing import blake2_256
from tests.e2e.process import NodeProcess, Refused, eventually

pytestmark = pytest.mark.e2e

UNIT = 10**12
"""planck"""
EMPTY = Keypair.create_from_uri("//Nobody//has//heard//of")


def transfer(client: SubstrateInterface, to: Keypair, value: int) -> Any:
    """Return a transfer call."""
    return client.compose_call("Balances", "transfer_keep_alive", {"dest": to.ss58_address, "value": value})


def signed(client: SubstrateInterface, call: Any, by: Keypair, **options: Any) -> str:
    """Return a signed extrinsic in hex."""
    return str(client.create_signed_extrinsic(call, by, **options).data)


def free(client: SubstrateInterface, who: Keypair, block: str | None = None) -> int:
    """Return an account's free balance."""
    return int(client.query("System", "Account", [who.ss58_address], block).value["data"]["free"])


def refusal(node: NodeProcess, extrinsic: str) -> dict[str, Any]:
    """Return the JSON-RPC error a submission meets."""
    with pytest.raises(Refused) as refused:
        node.rpc("author_submitExtrinsic", extrinsic)
    return refused.value.error


def numbers(node: NodeProcess) -> Iterator[str]:
    """Yield the hash of every block up to the best one."""
    for number in range(node.number() + 1):
        yield node.rpc("chain_getBlockHash", number)


def test_every_storage_item_and_constant_decodes(client: SubstrateInterface) -> None:
    client.init_runtime()
    seen: dict[str, Any] = {}
    for pallet in client.metadata.pallets:
        for item in pallet.storage or []:
            if "Plain" in item.value["type"]:
                found = client.query(pallet.name, item.name).value
            else:
                entries = client.query_map(pallet.name, item.name, ignore_decoding_errors=False)
                found = len(list(entries))
            seen[f"{pallet.name}.{item.name}"] = found
        for constant in pallet.constants or []:
            seen[f"{pallet.name}.{constant.name}"] = client.get_constant(pallet.name, constant.name).value
    alice = Keypair.create_from_uri("//Alice").ss58_address
    assert seen["System.SS58Prefix"] == client.ss58_format == 42
    assert seen["Sudo.Key"] == alice
    assert seen["Session.Validators"] == [alice]
    assert seen["Babe.ExpectedBlockTime"] == 500
    assert seen["System.Account"] > 10
    assert seen["System.Version"]["spec_name"] == "assay"
    assert len(seen) > 60


def test_old_blocks_keep_their_state(node: NodeProcess, client: SubstrateInterface) -> None:
    node.wait_height(3)
    genesis, second = client.get_block_hash(0), client.get_block_hash(2)
    assert client.query("System", "Number", block_hash=second).value == 2
    assert client.query("System", "BlockHash", [0], second).value == genesis
    assert client.query("System", "Number", block_hash=genesis).value == 0
    block = client.get_block(second)
    assert [each.value["call"]["call_module"] for each in block["extrinsics"]] == ["Timestamp"]
    assert block["header"]["parentHash"] == client.get_block_hash(1)
    assert [event.value["event_id"] for event in client.get_events(second)][-1] == "ExtrinsicSuccess"


@pytest.mark.parametrize("kind", ["sr25519", "ed25519"])
def test_a_transfer_is_signed_included_and_paid_as_estimated(
    node: NodeProcess, client: SubstrateInterface, kind: str
) -> None:
    bob = Keypair.create_from_uri("//Bob")
    sender = bob
    if kind == "ed25519":
        seed = OurKeypair.from_suri("//Spender", "ed25519").secret
        sender = Keypair.create_from_seed(seed.hex(), crypto_type=KeypairType.ED25519)
        funding = client.create_signed_extrinsic(transfer(client, sender, 10 * UNIT), bob)
        client.submit_extrinsic(funding, wait_for_inclusion=True)
    to = Keypair.create_from_uri(f"//Receiver//{kind}")
    extrinsic = client.create_signed_extrinsic(transfer(client, to, UNIT), sender, tip=7)
    estimate = node.rpc("payment_queryInfo", str(extrinsic.data))
    before = free(client, sender)
    receipt = client.submit_extrinsic(extrinsic, wait_for_finalization=True)
    assert receipt.is_success, receipt.error_message
    estimated = int(estimate["partialFee"]) + 7
    assert 0 <= estimated - receipt.total_fee_amount < estimated // 1000  # idle blocks make weight cheaper
    assert before - free(client, sender) == UNIT + receipt.total_fee_amount
    assert free(client, to) == UNIT


def test_twenty_in_flight_from_one_account_arrive_in_order(
    node: NodeProcess, client: SubstrateInterface
) -> None:
    charlie, to = Keypair.create_from_uri("//Charlie"), Keypair.create_from_uri("//Crowded")
    first = client.get_account_nonce(charlie.ss58_address)
    call = transfer(client, to, UNIT)
    sent = [signed(client, call, charlie, nonce=first + offset) for offset in range(20)]
    for extrinsic in reversed(sent):  # all but the last must wait for it
        node.rpc("author_submitExtrinsic", extrinsic)
    eventually(lambda: free(client, to) == 20 * UNIT, "twenty transfers")
    ours = set(sent)
    blocks = [node.rpc("chain_getBlock", block)["block"]["extrinsics"] for block in numbers(node)]
    assert [extrinsic for block in blocks for extrinsic in block if extrinsic in ours] == sent
    assert client.get_account_nonce(charlie.ss58_address) == first + 20


def test_batches_stop_at_the_first_failure_or_undo_everything(client: SubstrateInterface) -> None:
    dave, to = Keypair.create_from_uri("//Dave"), Keypair.create_from_uri("//Batched")
    calls = [transfer(client, to, value) for value in (UNIT, 10**30, UNIT)]
    outcomes = {}
    for name in ("batch", "batch_all"):
        call = client.compose_call("Utility", name, {"calls": calls})
        receipt = client.submit_extrinsic(client.create_signed_extrinsic(call, dave), wait_for_inclusion=True)
        events = [event.value["event_id"] for event in receipt.triggered_events]
        outcomes[name] = receipt.is_success, events.count("Transfer"), "BatchInterrupted" in events
    assert outcomes == {"batch": (True, 1, True), "batch_all": (False, 0, False)}
    assert free(client, to) == UNIT


def test_a_failed_call_names_its_error_and_costs_the_fee(client: SubstrateInterface) -> None:
    dave = Keypair.create_from_uri("//Dave")
    inner = client.compose_call("System", "remark", {"remark": "0x01"})
    call = client.compose_call("Sudo", "sudo", {"call": inner})
    before = free(client, dave)
    receipt = client.submit_extrinsic(client.create_signed_extrinsic(call, dave), wait_for_inclusion=True)
    assert not receipt.is_success
    assert receipt.error_message["name"] == "RequireSudo"
    assert before - free(client, dave) == receipt.total_fee_amount > 0


def test_a_transaction_that_cannot_be_is_refused_in_substrates_words(
    node: NodeProcess, client: SubstrateInterface
) -> None:
    eve = Keypair.create_from_uri("//Eve")
    call = transfer(client, Keypair.create_from_uri("//Bob"), 1)
    good = signed(client, call, eve)
    client.submit_extrinsic(client.create_signed_extrinsic(call, eve), wait_for_inclusion=True)
    forged = signed(client, call, eve, signature="0x" + "01" * 64)

    def invalid(why: str) -> dict[str, Any]:
        return {"code": 1010, "message": "Invalid Transaction", "data": why}

    no_money = "Inability to pay some fees (e.g. account balance too low)"
    assert refusal(node, forged) == invalid("Transaction has a bad signature")
    assert refusal(node, good) == invalid("Transaction is outdated")
    assert refusal(node, signed(client, call, EMPTY)) == invalid(no_money)
    assert refusal(node, good) == {"code": 1012, "message": "Transaction is temporarily banned"}
    dead = signed(client, call, eve, era={"period": 4, "current": 1})
    eventually(lambda: node.number() > 10, "the end of an era")
    assert refusal(node, dead)["code"] == 1010


def test_a_higher_tip_replaces_a_waiting_transaction(node: NodeProcess, client: SubstrateInterface) -> None:
    ferdie, to = Keypair.create_from_uri("//Ferdie"), Keypair.create_from_uri("//Tipped")
    nonce = client.get_account_nonce(ferdie.ss58_address)
    cheap, dear = (
        signed(client, transfer(client, to, value), ferdie, nonce=nonce + 1, tip=tip)
        for value, tip in ((UNIT, 0), (2 * UNIT, UNIT))
    )
    again = signed(client, transfer(client, to, 3 * UNIT), ferdie, nonce=nonce + 1, tip=UNIT)
    node.rpc("author_submitExtrinsic", cheap)  # waits: the nonce before it is not used yet
    node.rpc("author_submitExtrinsic", dear)
    known = "0x" + blake2_256(bytes.fromhex(dear[2:])).hex()
    assert refusal(node, dear) == {"code": 1013, "message": "Transaction Already Imported", "data": known}
    assert refusal(node, again)["code"] == 1014
    node.rpc("author_submitExtrinsic", signed(client, transfer(client, to, UNIT), ferdie, nonce=nonce))
    eventually(lambda: client.get_account_nonce(ferdie.ss58_address) == nonce + 2, "both transfers")
    assert free(client, to) == 3 * UNIT


def test_issuance_is_the_sum_of_all_accounts(node: NodeProcess, client: SubstrateInterface) -> None:
    node.wait_height(2)
    for block in (client.get_block_hash(0), client.get_block_hash(1), client.get_chain_head()):
        accounts = client.query_map("System", "Account", block_hash=block, page_size=7)
        total = sum(each.value["data"]["free"] + each.value["data"]["reserved"] for _, each in accounts)
        assert total == client.query("Balances", "TotalIssuance", block_hash=block).value


def test_heads_and_storage_are_pushed(node: NodeProcess, client: SubstrateInterface) -> None:
    seen: list[int] = []

    def on_head(head: dict[str, Any], count: int, subscription: str) -> list[int] | None:
        seen.append(head["header"]["number"])
        return seen if len(seen) == 3 else None

    heads = client.subscribe_block_headers(on_head)
    assert heads == list(range(heads[0], heads[0] + 3))
    finals = client.subscribe_block_headers(lambda head, count, _: head, finalized_only=True)
    assert finals["header"]["number"] >= heads[0] - 1

    key = client.create_storage_key("System", "Number")
    values: list[int] = []

    def on_value(key: Any, value: Any, count: int, subscription: str) -> list[int] | None:
        values.append(value.value)
        return values if len(values) == 3 else None

    pushed = client.subscribe_storage([key], on_value)
    assert pushed == list(range(pushed[0], pushed[0] + 3))


def test_two_of_three_pay_together(client: SubstrateInterface) -> None:
    party = [Keypair.create_from_uri(f"//{name}") for name in ("Alice", "Bob", "Charlie")]
    account = client.generate_multisig_account([each.ss58_address for each in party], 2)
    funding = client.create_signed_extrinsic(
        client.compose_call(
            "Balances", "transfer_keep_alive", {"dest": account.ss58_address, "value": 9 * UNIT}
        ),
        party[0],
    )
    client.submit_extrinsic(funding, wait_for_inclusion=True)
    to = Keypair.create_from_uri("//Receiver//multisig")
    for signer in party[1:]:
        extrinsic = client.create_multisig_extrinsic(transfer(client, to, UNIT), signer, account)
        receipt = client.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        assert receipt.is_success, receipt.error_message
    assert free(client, to) == UNIT
    assert list(client.query_map("Multisig", "Multisigs", [account.value])) == []
