"""What miners, judges and tools use to talk to a node: asynchronous, reconnecting, finalised state only.

A thin wrapper over py-substrate-interface; `chain.connection` keeps it connected.

    async with Chain.connect("ws://127.0.0.1:9944", "//Miner1") as chain:
        receipt = await chain.submit("Balances.transfer_keep_alive", dest=address, value=5)
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from substrateinterface import Keypair, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

from chain.amounts import asy
from chain.answers import account, best_number, entries, find, read_event, spec_version, unhex
from chain.connection import Connection
from chain.keys import pair as keys
from runtime.primitives import ss58
from runtime.primitives.hashing import blake2_256

log = logging.getLogger("client")

POLL_SECONDS = 0.4
"""between two looks at the finalised head"""
LIFETIME = 64
"""blocks a transaction stays valid"""
RESEND_BLOCKS = 6
"""final blocks without a transaction before it is sent again: a pool that has dropped it then says why"""
UPGRADE_PAUSE = 1.0
"""seconds until a call is signed again; the block after a switch of runtimes may have to come first"""
CANNOT_PAY = "pay some fees"
"""What the pool says of an account without money."""
ALREADY_IMPORTED = 1013
"""JSON-RPC code: the pool holds the transaction"""


class Refused(Exception):
    """The chain does not take a transaction; `name` is the pallet's error, or what the pool said."""

    def __init__(self, call: str, name: str, text: str, code: int = 0) -> None:
        super().__init__(f"{call} was refused: {text or name}")
        self.call = call
        self.name = name
        self.text = text or name
        self.code = code  # of the JSON-RPC error; 0 when a block took the transaction and the call failed


class RoundOver(Exception):
    """The round ended, or left the phase that was waited for."""

    def __init__(self, number: int, phase: str) -> None:
        ended = "ended without a new model" if phase == "Void" else f"is in phase {phase} already"
        super().__init__(f"round {number} {ended}")
        self.phase = phase


@dataclass(frozen=True, slots=True)
class Head:
    """A finalised block."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a transaction was finalised, and its events as (Pallet.Event, attributes)."""

    block: Head
    events: list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Registered:
    """A place in a subnet, what was burnt for it (planck), and where that became final."""

    uid: int
    burned: int
    block: Head


@dataclass(frozen=True, slots=True)
class Accepted:
    """A payload that enters the model, with its integer weight."""

    uid: int
    hotkey: bytes
    digest: bytes
    weight: int


@dataclass(frozen=True, slots=True)
class Round:
    """One training round as of some finalised block."""

    number: int
    phase: str
    base_root: bytes
    data_root: bytes
    beacon0: bytes
    beacon1: bytes | None
    deadline: int  # block
    accepted: list[Accepted]
    new_root: bytes | None
    inner_steps: int  # optimiser steps of each miner
    parameters: Mapping[str, int]  # what it is made of, by name; inner_steps once they have risen


@dataclass(frozen=True, slots=True)
class Lineage:
    """How one round changed the model."""

    base_root: bytes
    new_root: bytes
    accepted: list[Accepted]
    parameters: Mapping[str, int]  # what the round was made of, by name


@dataclass(frozen=True, slots=True)
class Axon:
    """Where a neuron serves its blobs."""

    hotkey: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Update:
    """A revealed update of a round."""

    uid: int | None  # which it was committed from; None where its miner holds it no more
    miner: bytes
    digest: bytes
    length: int  # bytes
    commit_height: int
    commit_index: int


PHASES = ("Idle", "Train", "Reveal", "ScoreCommit", "ScoreReveal", "Attest", "Closed", "Void")
"""In the order a round goes through them."""
ENDED = ("Closed", "Void")
"""In these a round is over."""


class Chain:
    """A connection to a node, signing as one hotkey."""

    def __init__(self, url: str, suri: str, *, gives_up: bool = False) -> None:
        try:
            pair = keys.Keypair.from_suri(suri, "sr25519")
        except keys.SuriError as problem:
            raise keys.SuriError(f"--key names no key: {problem}") from problem
        self._keypair = Keypair(public_key=pair.public, private_key=pair.secret, ss58_format=42)
        self._link = Connection(url, gives_up=gives_up)
        self._pen = asyncio.Lock()
        self._parameter_sets: dict[tuple[int, int], Mapping[str, int]] = {}  # by netuid and version

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, suri: str, *, waits: bool = False, gives_up: bool = False
    ) -> "AsyncIterator[Chain]":
        """Connect and check that this is an Assay chain; `waits` for a node that does not answer yet.

        A node that is lost is waited for, unless one `gives_up`.

        Raises: keys.SuriError, Unreachable, WrongChain.
        """
        chain = cls(url, suri, gives_up=gives_up)
        try:
            await chain._link.open(waits=waits)
            yield chain
        finally:
            await chain._link.close()

    @property
    def address(self) -> str:
        """SS58 address of the hotkey."""
        return str(self._keypair.ss58_address)

    @property
    def hotkey(self) -> bytes:
        """Public key of the hotkey."""
        return bytes(self._keypair.public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the hotkey's sr25519 signature, 64 bytes."""
        return bytes(self._keypair.sign(message))

    def address_of(self, hotkey: bytes) -> str:
        """Return the SS58 address of a public key."""
        return ss58.encode(hotkey)

    # Reading.

    @property
    def genesis_hash(self) -> bytes:
        """Hash of block 0."""
        return unhex(self._link.genesis)

    async def finalized_head(self) -> Head:
        """Return the last finalised block."""

        def ask(node: SubstrateInterface) -> Head:
            block = node.get_chain_finalised_head()
            head = Head(int(node.rpc_request("chain_getHeader", [block])["result"]["number"], 16), block)
            self._link.check_history(node, head.number, head.hash)
            return head

        return await self._link.ask(ask)

    async def best_number(self) -> int:
        """Return the height of the best block, final or not."""
        return await self._link.ask(best_number)

    async def finalized(self) -> AsyncIterator[Head]:
        """Yield the finalised head whenever it moves; heights may be skipped."""
        last = -1
        while True:
            head = await self.finalized_head()
            if head.number > last:
                last = head.number
                yield head
            await asyncio.sleep(POLL_SECONDS)

    async def query(self, item: str, *keys: Any, at: Head | None = None) -> Any:
        """Return a storage value such as "System.Account" at a finalised block, decoded; None when absent."""
        pallet, name = item.split(".")
        block = at or await self.finalized_head()
        return await self._link.ask(
            lambda node: node.query(pallet, name, list(keys), block_hash=block.hash).value
        )

    async def query_map(self, item: str, *keys: Any, at: Head | None = None) -> list[tuple[Any, Any]]:
        """Return the entries of a storage map under leading keys at a finalised block, decoded."""
        pallet, name = item.split(".")
        block = at or await self.finalized_head()

        def ask(node: SubstrateInterface) -> list[tuple[Any, Any]]:
            return entries(node, pallet, name, keys, block.hash)

        return await self._link.ask(ask)

    async def events(self, at: Head) -> list[tuple[str, Any]]:
        """Return the events of a finalised block as (Pallet.Event, attributes)."""

        def ask(node: SubstrateInterface) -> list[tuple[str, Any]]:
            return [read_event(record.value) for record in node.get_events(at.hash)]

        return await self._link.ask(ask)

    async def block_at(self, number: int) -> Head | None:
        """Return the block of the best chain at a height."""
        block = await self._link.ask(lambda node: node.get_block_hash(number))
        return Head(number, block) if block else None

    async def rpc(self, method: str, *parameters: Any) -> Any:
        """Return the result of a JSON-RPC call."""
        return await self._link.ask(lambda node: node.rpc_request(method, list(parameters))["result"])

    # The AI pallets.

    async def parameters(self, netuid: int) -> dict[str, int]:
        """Return a subnet's hyper-parameters by name."""
        return dict(await self.query("Subnets.Hyperparameters", netuid) or {})

    async def uid(self, netuid: int, hotkey: bytes | None = None) -> int | None:
        """Return the uid of a hotkey, this connection's by default."""
        return await self.query("Neurons.Uids", netuid, ss58.encode(hotkey or self.hotkey))  # type: ignore[no-any-return]

    async def seat(self, netuid: int, at: Head) -> dict[str, int] | None:
        """Return how the chain names this hotkey's place as long as nobody else takes it."""
        uid = await self.query("Neurons.Uids", netuid, self.address, at=at)
        found = None if uid is None else await self.query("Neurons.Neurons", netuid, uid, at=at)
        return {"uid": uid, "registered_at": found["registered_at"]} if found else None

    async def axon(self, netuid: int, hotkey: bytes) -> str | None:
        """Return the URL a neuron serves its blobs at."""
        axon = await self.query("Neurons.Axons", netuid, ss58.encode(hotkey))
        return axon["url"] if axon else None

    async def mirrors(self, netuid: int) -> list[Axon]:
        """Return where a subnet's validators serve what they accepted, by uid."""
        axons = {hotkey: axon["url"] for hotkey, axon in await self.query_map("Neurons.Axons", netuid)}
        uids = {uid: hotkey for hotkey, uid in await self.query_map("Neurons.Uids", netuid)}
        permits = await self.query_map("Incentive.ValidatorPermit", netuid)
        hotkeys = [uids[uid] for uid, permitted in sorted(permits) if permitted and uid in uids]
        return [Axon(account(hotkey), axons[hotkey]) for hotkey in hotkeys if hotkey in axons]

    async def callers(self, netuid: int) -> dict[bytes, bool]:
        """Return the hotkeys registered in a subnet, and whether each may judge."""
        head = await self.finalized_head()
        uids = await self.query_map("Neurons.Uids", netuid, at=head)
        permits = dict(await self.query_map("Incentive.ValidatorPermit", netuid, at=head))
        return {account(str(hotkey)): bool(permits.get(uid)) for hotkey, uid in uids}

    async def owner(self, netuid: int) -> bytes | None:
        """Return whose subnet it is; the data provider serves under this key."""
        network = await self.query("Subnets.Networks", netuid)
        return account(str(network["owner"])) if network else None

    async def name(self) -> str:
        """Return the chain's name."""
        return str(await self._link.ask(lambda node: node.rpc_request("system_chain", [])["result"]))

    async def is_live(self) -> bool:
        """Say whether this chain is neither Development nor Local."""
        kind = await self._link.ask(lambda node: node.rpc_request("system_chainType", [])["result"])
        return kind not in ("Development", "Local")

    async def slot_seconds(self) -> float:
        """Return the time between two blocks."""
        return await self._link.ask(lambda node: node.get_constant("Babe", "ExpectedBlockTime").value / 1000)

    async def dataset(self, netuid: int) -> tuple[bytes, str] | None:
        """Return root and URL of the subnet's data set."""
        found = await self.query("Training.Datasets", netuid)
        return (unhex(found["root"]), found["url"]) if found else None

    async def round(self, netuid: int, number: int | None = None, at: Head | None = None) -> Round | None:
        """Return a round, the current one by default; None before the first."""
        head = at or await self.finalized_head()
        wanted = number if number is not None else await self.query("Training.CurrentRound", netuid, at=head)
        found = await self.query("Training.Rounds", netuid, wanted, at=head)
        return _round(wanted, found, await self._numbers(netuid, found, head)) if found else None

    async def updates(self, netuid: int, number: int) -> list[Update]:
        """Return a round's revealed updates in the order of their commits."""
        head = await self.finalized_head()
        entries = await self.query_map("ModelUpdates.Updates", netuid, number, at=head)
        commits = await self.query_map("ModelUpdates.Commits", netuid, number, at=head)
        seats = {(hotkey, uid) for hotkey, uid in await self.query_map("Neurons.Uids", netuid, at=head)}
        held = {miner: sealed["uid"] for miner, sealed in commits if (miner, sealed["uid"]) in seats}
        found = [
            Update(
                held.get(update["miner"]), account(update["miner"]), unhex(update["digest"]),
                update["length"], update["commit_height"], update["commit_index"],
            )
            for _, update in entries
        ]  # fmt: skip
        return sorted(found, key=lambda update: (update.commit_height, update.commit_index))

    async def commitment(self, netuid: int, number: int) -> bytes | None:
        """Return what this hotkey committed to as a miner of a round."""
        found = await self.query("ModelUpdates.Commits", netuid, number, self.address)
        return unhex(found["commitment"]) if found else None

    async def has_revealed(self, netuid: int, number: int) -> bool:
        """Say whether this hotkey has revealed an update of a round."""
        return await self.query("ModelUpdates.Updates", netuid, number, self.address) is not None

    async def revealed(
        self, netuid: int, number: int, miner: bytes, at: Head | None = None
    ) -> tuple[bytes, int] | None:
        """Return digest and length (bytes) of the update that a miner has revealed in a round."""
        found = await self.query("ModelUpdates.Updates", netuid, number, ss58.encode(miner), at=at)
        return (unhex(found["digest"]), found["length"]) if found else None

    async def score_commitment(self, netuid: int, number: int) -> bytes | None:
        """Return what this hotkey committed to as a judge of a round."""
        found = await self._as_judge("Verification.ScoreCommits", netuid, number)
        return unhex(found) if found else None

    async def has_scored(self, netuid: int, number: int) -> bool:
        """Say whether this hotkey has revealed scores of a round."""
        return await self._as_judge("Verification.Scores", netuid, number) is not None

    async def has_attested(self, netuid: int, number: int) -> bool:
        """Say whether this hotkey has attested the model of a round."""
        return await self._as_judge("Training.Attestations", netuid, number) is not None

    async def _as_judge(self, item: str, netuid: int, number: int) -> Any:
        """Return what is stored of a round under this hotkey's uid; None where it has no seat any more."""
        uid = await self.uid(netuid)
        return None if uid is None else await self.query(item, netuid, number, uid)

    async def lineage(self, netuid: int, number: int) -> Lineage | None:
        """Return how a round changed the model; None for a void round."""
        head = await self.finalized_head()
        found = await self.query("Training.Lineage", netuid, number, at=head)
        return _lineage(found, await self._numbers(netuid, found, head)) if found else None

    async def _numbers(self, netuid: int, found: Mapping[str, Any], head: Head) -> Mapping[str, int]:
        """Return what a round is made of; a version never changes, so each is asked for once."""
        place = netuid, found["parameters"]
        if place not in self._parameter_sets:
            listed = await self.query("Training.ParameterSets", *place, at=head)
            self._parameter_sets[place] = {each["parameter"]: each["value"] for each in listed}
        return self._parameter_sets[place]

    async def model_root(self, netuid: int) -> bytes | None:
        """Return the root of a subnet's model as it is now."""
        found = await self.query("Training.ModelRoot", netuid)
        return unhex(found) if found else None

    async def checkpoint(self, netuid: int, number: int) -> bytes | None:
        """Return the root of the model after a round that joiners may begin with."""
        found = await self.query("Training.Checkpoints", netuid, number)
        return unhex(found) if found else None

    async def checkpoints(self, netuid: int) -> dict[int, bytes]:
        """Return all such roots, by round."""
        found = await self.query_map("Training.Checkpoints", netuid)
        return {int(number): unhex(root) for number, root in sorted(found)}

    async def rounds(self, netuid: int, until: str = "Train") -> AsyncIterator[Round]:
        """Yield each training round once, as long as it has not gone past phase `until`."""
        seen = 0
        async for head in self.finalized():
            current = await self.round(netuid, at=head)
            if current and current.number > seen and PHASES.index(current.phase) <= PHASES.index(until):
                seen = current.number
                yield current

    async def phase_reached(
        self, netuid: int, number: int, phase: str, ready: Callable[[Round], bool] = lambda _: True
    ) -> Round:
        """Wait for a phase of a round, and for what is `ready` in it, and return the round.

        Raises: RoundOver when the round has left the phase, or ended.
        """
        async for head in self.finalized():
            found = await self.round(netuid, number, at=head)
            if found is None:
                continue
            if found.phase == phase and ready(found):
                return found
            if PHASES.index(found.phase) > PHASES.index(phase):
                raise RoundOver(number, found.phase)
        raise AssertionError("the stream of finalised blocks does not end")

    # Writing.

    async def submit(self, call: str, /, **arguments: Any) -> Receipt:
        """Sign a call, submit it, and wait until it is final; sign again where another runtime took over.

        Raises: Refused.
        """
        while True:
            async with self._pen:  # until the pool has it, another signature would have the same nonce
                extrinsic, version = await self._link.ask(lambda node: self._sign(node, call, arguments))
                start = await self.finalized_head()  # its time begins now: a lost node was waited for
                made = self._link.made
                refused = await self._link.ask(partial(_send, call=call, extrinsic=extrinsic))
                is_certain = made == self._link.made
            try:
                if refused is not None and is_certain:
                    raise refused
                found = await self._deliver(call, extrinsic, start, refused)
                break
            except Refused:
                if await self._link.ask(spec_version) == version:
                    raise
                log.info("another runtime took over: signing %s again", call)
                await asyncio.sleep(UPGRADE_PAUSE)
        failed = next((values for event, values in found.events if event == "System.ExtrinsicFailed"), None)
        if failed is not None:
            raise await self._link.ask(lambda node: _failed(call, node, failed["dispatch_error"]))
        return found

    async def register(self, netuid: int, hotkey: str, max_price: int) -> Registered:
        """Register a hotkey's address with this key as its coldkey, for at most so many planck.

        Raises: Refused, with what the price has to do with it.
        """
        call = "Neurons.burned_register"
        asked = {"netuid": netuid, "hotkey": hotkey, "max_price": max_price}
        try:
            await self.check(call, **asked)
            receipt = await self.submit(call, **asked)
        except Refused as refused:
            quote = await self.rpc("subnet_registrationPrice", netuid)
            raise Refused(
                call, refused.name, refused.text + _advice(refused, quote), refused.code
            ) from refused
        made = next(values for name, values in receipt.events if name == "Neurons.NeuronRegistered")
        return Registered(made["uid"], made["burned"], receipt.block)

    async def check(self, call: str, /, **arguments: Any) -> None:
        """Ask whether a call would fail in the next block: nobody pays to be told so.

        Raises: Refused.
        """
        pallet, name = call.split(".")
        composed = await self._link.ask(lambda node: str(node.compose_call(pallet, name, arguments).data))
        refusal = await self.rpc("subnet_checkCall", self.address, composed)
        if refusal is not None:
            raise Refused(call, refusal["name"], refusal["text"])

    def _sign(
        self, node: SubstrateInterface, call: str, arguments: Mapping[str, Any]
    ) -> tuple[str, int | None]:
        """Return the signed call, and for which runtime version."""
        pallet, name = call.split(".")
        composed = node.compose_call(pallet, name, dict(arguments))
        nonce = node.rpc_request("system_accountNextIndex", [self.address])["result"]
        signed = node.create_signed_extrinsic(composed, self._keypair, era={"period": LIFETIME}, nonce=nonce)
        return str(signed.data), node.runtime_version

    async def _deliver(self, call: str, extrinsic: str, start: Head, refused: Refused | None) -> Receipt:
        """Wait until a final block has a transaction; send it again at times, and when the node was lost.

        Raises: Refused.
        """
        digest, looked = blake2_256(unhex(extrinsic)), start.number
        sent_over, resend = self._link.made, start.number + RESEND_BLOCKS
        # Refused when sent again: perhaps because a block that is not final yet has it already.
        settled = await self._link.ask(best_number) if refused else 0
        async for head in self.finalized():
            while looked < head.number:
                looked += 1
                found = await self._link.ask(partial(find, number=looked, extrinsic=digest))
                if found is not None:
                    return Receipt(Head(looked, found[0]), found[1])
            if refused is not None and looked >= settled:
                raise refused
            if looked > start.number + LIFETIME:
                raise Refused(call, "Expired", f"no block took it within {LIFETIME} blocks; try again")
            if sent_over == self._link.made and (refused is not None or looked < resend):
                continue
            refused = await self._link.ask(partial(_send, call=call, extrinsic=extrinsic))
            sent_over, resend = self._link.made, looked + RESEND_BLOCKS
            settled = await self._link.ask(best_number) if refused else 0
        raise AssertionError("the stream of finalised blocks does not end")


def _send(node: SubstrateInterface, call: str, extrinsic: str) -> Refused | None:
    """Hand a transaction to the pool; return why it does not take it."""
    try:
        node.rpc_request("author_submitExtrinsic", [extrinsic])
    except SubstrateRequestException as refused:
        found = _refused(call, refused)
        return None if found.code == ALREADY_IMPORTED else found
    return None


def _failed(call: str, node: SubstrateInterface, error: Any) -> Refused:
    if isinstance(error, Mapping) and "Module" in error:
        module = error["Module"]
        code = unhex(module["error"])[0] if isinstance(module["error"], str) else module["error"]
        found = node.metadata.get_module_error(module_index=module["index"], error_index=code)
        return Refused(call, found.name, " ".join(found.docs))
    name = error if isinstance(error, str) else "::".join(str(part) for part in next(iter(error.items())))
    return Refused(call, name, name)


def _refused(call: str, refused: SubstrateRequestException) -> Refused:
    """Read the node's JSON-RPC error object."""
    details = refused.args[0] if refused.args and isinstance(refused.args[0], Mapping) else {}
    text = str(details.get("data") or details.get("message") or refused)
    if CANNOT_PAY in text:
        text = "the account that signs has too little money for the fee; send it some ASY"
    return Refused(call, details.get("message", "Refused"), text, details.get("code", 0))


def _advice(refused: Refused, quote: Mapping[str, Any] | None) -> str:
    """Return what a subnet's price and places have to do with a registration that was refused."""
    if quote and refused.name in ("PriceTooHigh", "CannotAfford"):
        now, later = quote["price"], quote["curve"][1]
        falls = f" ({asy(later['price'])} in block #{later['block']})" if later["price"] != now else ""
        return f" It burns {asy(now)} ASY now{falls} and sets {asy(quote['bond'])} ASY aside."
    if quote and refused.name == "SubnetFull" and quote["opensAt"] is not None:
        return f" The first immunity ends in block #{quote['opensAt']}; now is #{quote['block']}."
    return ""


def _round(number: int, found: Mapping[str, Any], parameters: Mapping[str, int]) -> Round:
    return Round(
        number=number,
        phase=found["phase"],
        base_root=unhex(found["base_root"]),
        data_root=unhex(found["data_root"]),
        beacon0=unhex(found["beacon0"]),
        beacon1=unhex(found["beacon1"]) if found["beacon1"] else None,
        deadline=found["deadline"],
        accepted=_accepted(found["accepted"]),
        new_root=unhex(found["new_root"]) if found["new_root"] else None,
        inner_steps=found["inner_steps"],
        parameters=parameters,
    )


def _lineage(found: Mapping[str, Any], parameters: Mapping[str, int]) -> Lineage:
    return Lineage(
        unhex(found["base_root"]), unhex(found["new_root"]), _accepted(found["accepted"]), parameters
    )


def _accepted(listed: list[Mapping[str, Any]]) -> list[Accepted]:
    return [
        Accepted(each["uid"], account(each["hotkey"]), unhex(each["digest"]), each["weight"])
        for each in listed
    ]
