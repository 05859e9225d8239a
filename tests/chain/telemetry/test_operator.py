"""The whole node in this process, asked what only its operator asks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chain.keys.pair import Keypair
from chain.node import Service
from chain.rpc.methods.grandpa import FINALITY_PROOF
from runtime.primitives import ss58
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import JustificationError, decode_justification, verify_justification
from runtime.primitives.header import Header
from runtime.primitives.scale import codec
from tests.chain.chains import FIRST_SLOT, Chain
from tests.chain.test_node import JumpingClock, opened

ALICE = Keypair.from_suri("//Alice", "ed25519").public
AUTHORITIES = codec(Authorities)


class Asked:
    """A node that runs, and a way to ask it."""

    def __init__(self, service: Service, http: aiohttp.ClientSession) -> None:
        self.service = service
        self.http = http
        self.url = f"http://127.0.0.1:{service.rpc.port}"

    async def answer(self, method: str, *params: object) -> Any:
        """Return the whole answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(self.url, json=body) as response:
            return await response.json()

    async def call(self, method: str, *params: object) -> Any:
        """Return the result."""
        return (await self.answer(method, *params))["result"]

    async def raw(self, method: str, *params: object) -> bytes:
        """Return the bytes of a hex result."""
        return bytes.fromhex((await self.call(method, *params))[2:])


@asynccontextmanager
async def running(base: Path, *, finals: int, authority: str | None = "//Alice") -> AsyncIterator[Asked]:
    """Run a node until this many blocks are final, and keep it open with its RPC."""
    clock = JumpingClock()
    async with opened(base, clock, authority=authority) as service, asyncio.timeout(60):
        finality = service.node.feed.finality()
        running = asyncio.create_task(service.run())
        for _ in range(finals):
            await anext(finality)
        async with aiohttp.ClientSession() as http:
            yield Asked(service, http)
        running.cancel()


async def test_anybody_can_check_a_proof_of_finality(tmp_path: Path) -> None:
    async with running(tmp_path, finals=4) as asked:
        header = (await asked.call("chain_getBlock", await asked.call("chain_getBlockHash", 2)))["block"]
        proof = FINALITY_PROOF.decode(await asked.raw("grandpa_proveFinality", 2))
        at = "0x" + proof.block.hex()
        voters = AUTHORITIES.decode(await asked.raw("state_call", "GrandpaApi_grandpa_authorities", "0x", at))
        set_id = int.from_bytes(
            await asked.raw("state_call", "GrandpaApi_current_set_id", "0x", at), "little"
        )
        chain: list[Header] = proof.unknown_headers
        number = int(header["header"]["number"], 16) + len(chain)
        assert [each.number for each in chain] == list(range(3, number + 1))
        linked = [await asked.call("chain_getBlockHash", 2), *("0x" + each.hash().hex() for each in chain)]
        assert ["0x" + each.parent_hash.hex() for each in chain] == linked[:-1]
        assert linked[-1] == at
        justification = decode_justification(proof.justification)
        verify_justification(justification, voters, set_id, (proof.block, number))
        with pytest.raises(JustificationError):
            verify_justification(justification, voters, set_id + 1, (proof.block, number))


async def test_what_is_not_final_yet_has_no_proof(tmp_path: Path) -> None:
    async with running(tmp_path, finals=1) as asked:
        refused = (await asked.answer("grandpa_proveFinality", 2**32 - 1))["error"]
        message = "GRANDPA prove finality rpc failed: Block not yet finalized"
        assert refused == {"code": 4, "message": message}


async def test_a_block_without_votes_of_its_own_is_proven_by_a_later_one(tmp_path: Path) -> None:
    async with running(tmp_path, finals=2) as asked:
        proof = FINALITY_PROOF.decode(await asked.raw("grandpa_proveFinality", 0))
        numbers = [each.number for each in proof.unknown_headers]
        assert numbers == list(range(1, len(numbers) + 1))
        assert proof.unknown_headers[-1].hash() == proof.block


async def test_justifications_are_told_as_they_come(tmp_path: Path) -> None:
    async with running(tmp_path, finals=1) as asked, asked.http.ws_connect(asked.url) as socket:
        request = {"jsonrpc": "2.0", "id": 1, "params": []}
        await socket.send_json({**request, "method": "grandpa_subscribeJustifications"})
        subscription = (await socket.receive_json())["result"]
        message = await socket.receive_json()
        assert message["method"] == "grandpa_justifications"
        assert message["params"]["subscription"] == subscription
        told = bytes.fromhex(message["params"]["result"][2:])
        commit = decode_justification(told).commit
        block = await asked.call("chain_getBlock", "0x" + commit.target_hash.hex())
        assert block["justifications"] == [[list(b"FRNK"), list(told)]]
        assert int(block["block"]["header"]["number"], 16) == commit.target_number
        await socket.send_json(
            {**request, "method": "grandpa_unsubscribeJustifications", "params": [subscription]}
        )
        while (answer := await socket.receive_json()).get("id") != 1:
            pass
        assert answer["result"] is True


async def test_the_round_to_come_waits_for_every_voter(tmp_path: Path) -> None:
    async with running(tmp_path, finals=2) as asked:
        missing = {"currentWeight": 0, "missing": [ss58.encode(ALICE)]}
        state = await asked.call("grandpa_roundState")
        assert state["best"].pop("round") >= 3
        assert state == {
            "setId": 0,
            "best": {
                "totalWeight": 10_000,
                "thresholdWeight": 6_667,
                "prevotes": missing,
                "precommits": missing,
            },
            "background": [],
        }


async def test_a_node_without_keys_follows_the_round_of_others(tmp_path: Path) -> None:
    async with running(tmp_path, finals=0, authority=None) as asked:
        state = await asked.call("grandpa_roundState")
        assert (state["setId"], state["best"]["round"], state["background"]) == (0, 1, [])
        assert state["best"]["prevotes"] == {"currentWeight": 0, "missing": [ss58.encode(ALICE)]}


async def test_every_slot_of_an_epoch_is_the_only_author_s(tmp_path: Path) -> None:
    async with running(tmp_path, finals=1) as asked:
        found = await asked.call("babe_epochAuthorship")
        mine = found[ss58.encode(ALICE)]
        node = asked.service.node
        epoch = node.executor.current_epoch(node.store.state_at(node.store.best))
        assert sorted(mine["primary"] + mine["secondary_vrf"]) == list(range(epoch[1], epoch[1] + epoch[2]))
        assert (list(found), mine["secondary"]) == ([ss58.encode(ALICE)], [])
        assert epoch[1] == FIRST_SLOT + 1


async def test_inserted_keys_of_the_chain_s_authority_begin_to_author(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, finals=0, authority="//Bob") as asked:
        finality = asked.service.node.feed.finality()
        for key_type in ("babe", "gran"):
            assert await asked.call("author_insertKey", key_type, "//Alice", "0x" + ALICE.hex()) is None
        await anext(finality)
        assert asked.service.node.store.finalized_number >= 1
    for kind in ("BABE", "GRANDPA"):
        warning = f"⚠️ the keystore has 1 {kind} keys, none of them of an authority"
        assert [line.startswith(warning) for line in caplog.messages].count(True) == 1


async def test_the_beacon_of_a_single_author_is_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, finals=1):
        warning = "⚠️ beacon trusted: of 1 authors one draws it; from four on an honest one helps"
        assert caplog.messages.count(warning) == 1


async def test_a_dry_run_tells_what_would_happen(tmp_path: Path) -> None:
    remark = Chain(tmp_path / "other").remark
    async with running(tmp_path / "node", finals=1) as asked:
        assert await asked.call("system_dryRun", "0x" + remark(0).hex()) == "0x0000"
        assert await asked.call("system_dryRun", "0x" + remark(1).hex()) == "0x010002"  # Future
        assert await asked.call("system_dryRun", "0x0401ff") == "0x010000"  # Call: it does not decode
        pending = await asked.call("author_pendingExtrinsics")
        assert pending == []


async def test_the_node_key_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path, finals=0) as asked:
        first = await asked.call("system_localPeerId")
    async with running(tmp_path, finals=0) as asked:
        assert await asked.call("system_localPeerId") == first


async def test_generating_keys_needs_the_node(tmp_path: Path) -> None:
    async with running(tmp_path, finals=0) as asked:
        refused = (await asked.answer("state_call", "SessionKeys_generate_session_keys", "0x00"))["error"]
        assert refused["code"] == 4003
        assert "author_rotateKeys makes new keys" in refused["message"]
