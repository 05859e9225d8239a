"""One cell of the arena: a subnet with honest and dishonest miners, played with the code that networks run.

The chain is the runtime in this process; training, payloads, checks, scores, aggregation and audits are those
of miners and judges; payloads come over HTTP. What is left out is blocks that take time, and other nodes.
"""

import math
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import sr25519

from bench.arena_servers import Hostile, hostile
from bench.backdoor import success
from bench.lab import Text, Tokens, beacon
from chain.client import Accepted, Axon, Lineage, Round, Update
from miners.attacks import IN_TIME, NEVER, TOO_LATE, Attack, Backdoor
from miners.blobs import receipts
from miners.blobs.client import BlobClient
from miners.blobs.receipts import Owed
from miners.blobs.server import serve
from miners.blobs.store import BlobStore
from miners.compressor import Compressor
from miners.data import Window, assignment
from miners.model import Trained, loss, train
from miners.parameters import TrainingParameters
from miners.payload import encode, shape_of
from miners.replica import Replica
from miners.shelf import Shelf
from miners.weights import MasterWeights, initial
from runtime.frame.errors import DispatchError
from runtime.frame.testing import Externalities
from runtime.pallets.incentive.messages import EmissionPaid, EpochRun
from runtime.pallets.model_updates.types import Delivery, EvidenceAccepted
from runtime.pallets.subnets.numbers import Hyperparameters
from runtime.pallets.training.types import Phase, RoundClosed, RoundVoided
from runtime.pallets.verification.types import (
    AuditDrawn,
    AuditFailed,
    AuditPassed,
    MinerSlashed,
    MinerWithheld,
    Verdict,
)
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.commitments import Score
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import RECEIPT, Receipt
from runtime.primitives.types import AccountId, Hash
from tests.runtime.pallets.training_bench import NETUID, Bench, BenchRuntime, account, hexed
from validators.inspection import Candidate, inspect, screened
from validators.measuring import assigned_in, measure, row_of, texts_of
from validators.overlap import EARLIER_ROUNDS, Sent
from validators.replay import Finding, Work, audit
from validators.scorebook import MOST_ROUNDS, Row, scored

JUDGES = 3
SALT = bytes(32)
FETCH_SECONDS, HOSTILE_SECONDS = 60.0, 5.0
"""that judges wait for payloads, and where some servers never answer"""
PATIENCE_SECONDS = 0.5
"""for one server"""
MEMORY = 1 << 30
"""bytes of updates that are kept, so that nobody trains the same twice"""
HELD_OUT = 128
"""sequences of public text behind a published loss"""
KEPT_ROUNDS = 5
ROW = ("score", "alignment", "loss_before", "loss_after", "own_drop")
"""What is written down of what judges publish, in ppm and micro-nats."""
WINDOWS = {
    "train_window": 8,
    "reveal_window": 4,
    "score_commit_window": 5,
    "score_reveal_window": 4,
    "attest_window": 5,
    "freeze_window": 2,
}
"""blocks; nobody has to be waited for"""
MONEY = {"vesting_rounds": 40, "tempo": 20}
"""What a subnet of the live network pays by; epochs are short, so that every cell has some."""

FAILURES = (ValueError, ArithmeticError, LookupError)
"""What an attack may run into, with a model that is young or that it has broken; it sits that round out."""


@dataclass(frozen=True)
class Cell:
    """What is played: who attacks how, and by which rules."""

    attack: type[Attack]
    attackers: int
    miners: int
    rounds: int
    seed: int
    parameters: TrainingParameters
    device: str = "cpu"
    precision: str = "fp32"
    rules: tuple[tuple[str, int], ...] = ()

    @property
    def cheats(self) -> range:
        """Which miners attack: the last ones, who have heard the others."""
        return range(self.miners - self.attackers, self.miners)

    @property
    def numbers(self) -> dict[str, int]:
        """Return what the subnet is set to."""
        return WINDOWS | self.parameters.to_integers() | MONEY | dict(self.rules)

    @property
    def settings(self) -> dict[str, object]:
        """Return what decides how it goes, beside the text: what the name of a kept run is made of."""
        return {
            "attack": self.attack.name, "attackers": self.attackers, "miners": self.miners,
            "judges": JUDGES, "held_out": HELD_OUT, "rounds": self.rounds, "seed": self.seed,
            "device": self.device, "precision": self.precision,
            "numbers": asdict(Hyperparameters(**self.numbers)),  # the defaults may change, too
        }  # fmt: skip

    def mind(self, miner: int) -> Attack:
        """Return how a miner behaves."""
        return self.attack() if miner in self.cheats else Attack()


@dataclass
class Story:
    """What happened in a cell; money is planck."""

    losses: list[float] = field(default_factory=list)  # nats per token, before and after each round
    paid: dict[int, int] = field(default_factory=dict)  # by miner
    slashed: dict[int, int] = field(default_factory=dict)
    audits: dict[str, int] = field(default_factory=dict)  # events, "honest" or "cheat" before their names
    overlaps: list[tuple[str, int, int, str]] = field(default_factory=list)  # of each replay: who, round, ppm
    copies: int = 0
    closed: int = 0
    void: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # calls, by error
    entered: list[list[int]] = field(default_factory=list)  # miners whose payload was accepted, by round
    rows: list[dict[int, list[int]]] = field(default_factory=list)  # by round and miner: ROW
    success: float | None = None  # of a backdoor, at the end
    seconds: float = 0.0


@dataclass
class Made:
    """What a miner has for a round."""

    blob: bytes
    ef_digest: bytes

    @property
    def digest(self) -> Hash:
        """Return what names the payload."""
        return Hash(blake2_256(self.blob))


class Memo:
    """Updates and losses that were computed before, by all that they depend on."""

    def __init__(self, most: int = MEMORY) -> None:
        self._most, self._held = most, 0
        self._trained: OrderedDict[bytes, Trained] = OrderedDict()
        self._rows: dict[bytes, list[Score]] = {}

    def train(
        self, weights: MasterWeights, batches: Sequence[Tokens], rules: TrainingParameters, cell: Cell
    ) -> Trained:
        """Train, or remember."""
        key = _key(weights, batches, repr((rules, cell.device, cell.precision)))
        if key not in self._trained:
            self._trained[key] = train(weights, batches, rules, cell.device, cell.precision)
            self._held += self._trained[key].delta.nbytes
            while self._held > self._most:
                self._held -= self._trained.popitem(last=False)[1].delta.nbytes
        return self._trained[key]

    async def row(
        self,
        case: tuple[MasterWeights, Round, Sequence[Candidate]],
        measuring: Callable[[], Awaitable[list[Score]]],
    ) -> list[Score]:
        """Measure a round's payloads, or remember."""
        weights, drawn, found = case
        sent = [(each.uid, each.miner, each.update.digest, each.payload is None) for each in found]
        key = _key(weights, [], repr((drawn.beacon0, drawn.beacon1, sent)))
        if key not in self._rows:
            self._rows[key] = await measuring()
        return self._rows[key]


def _key(weights: MasterWeights, texts: Sequence[Tokens], rest: str) -> bytes:
    name = blake2b(weights.words.tobytes(), digest_size=32)
    for each in texts:
        name.update(each.tobytes())
    name.update(rest.encode())
    return name.digest()


class Subnet(Bench):
    """The chain of a cell: what miners reveal is what they have made."""

    def __init__(self, cell: Cell, first: MasterWeights, data_root: bytes) -> None:
        self.judges = [account(f"judge {number}") for number in range(JUDGES)]
        self.keys = [
            sr25519.pair_from_seed(account(f"key {number} of {cell.seed}")) for number in range(cell.miners)
        ]
        self.miners = [AccountId(public) for public, _ in self.keys]
        self.made: dict[int, Made] = {}
        self.seed = cell.seed
        self.happened: list[Any] = []
        self.genesis = self._genesis([1_000] * JUDGES, 1, cell.numbers)
        self.genesis["training"] = {str(NETUID): {"model_root": hexed(first.root())}}
        self.ext = Externalities(BenchRuntime, genesis=self.genesis)
        self.call(account("owner"), "Training", "set_dataset", Hash(data_root), "http://127.0.0.1:9000/")

    def step(self, author: int = 0) -> list[Any]:
        self.happened += self.ext.new_events()  # of hooks and calls of the block that ends
        self.ext.close_block()
        self.ext.open_block((pre_digest_item(SecondaryPlain(author, self.ext.number + 1)),))
        self.runtime.babe.vrf_accumulator.put(Hash(beacon("block", self.ext.number, self.seed)))
        return self.ext.new_events()

    def opened(self, miner: int, digest: Hash | None = None) -> tuple[Any, ...]:
        made = self.made[miner]
        return made.digest, len(made.blob), Hash(made.ef_digest), SALT

    def drawn(self) -> Round:
        """Return the round, as a client reads it."""
        current = self.round
        numbers = {**asdict(self.runtime.subnets.parameters(NETUID)), "inner_steps": current.inner_steps}
        return Round(
            self.number, current.phase.name, current.base_root, current.data_root, current.beacon0,
            current.beacon1, current.deadline, [], None, current.inner_steps, numbers,
        )  # fmt: skip

    def updates(self) -> list[Update]:
        """Return what was revealed in this round, as a client reads it."""
        return [
            Update(
                self.runtime.neurons.uid_of(NETUID, each.miner), each.miner, each.digest, each.length,
                each.commit_height, each.commit_index,
            )
            for each in self.runtime.model_updates.revealed(NETUID, self.number)
        ]  # fmt: skip


@dataclass
class Ledger:
    """What a replica reads of the chain."""

    subnet: Subnet
    urls: dict[bytes, str] = field(default_factory=dict)
    hotkey: bytes = bytes(32)

    @property
    def genesis_hash(self) -> bytes:
        return self.subnet.genesis_hash

    async def checkpoint(self, netuid: int, number: int) -> bytes | None:
        return None

    async def checkpoints(self, netuid: int) -> dict[int, bytes]:
        return {}

    async def lineage(self, netuid: int, number: int) -> Lineage | None:
        return None

    async def axon(self, netuid: int, hotkey: bytes) -> str | None:
        return self.urls.get(hotkey)

    async def mirrors(self, netuid: int) -> list[Axon]:
        return []


@dataclass(frozen=True)
class Shards:
    """The text, as judges ask for it."""

    text: Text

    async def batches(self, windows: Sequence[Window], batch_size: int, span: int) -> list[Tokens]:
        return self.text.cut(windows, batch_size, span)


@dataclass(frozen=True)
class Pen:
    """Signs as a miner."""

    subnet: Subnet
    miner: int

    @property
    def hotkey(self) -> bytes:
        return self.subnet.miners[self.miner]

    @property
    def genesis_hash(self) -> bytes:
        return self.subnet.genesis_hash

    def sign(self, message: bytes) -> bytes:
        signature: bytes = sr25519.sign(self.subnet.keys[self.miner], message)
        return signature


class TooSlow(Exception):
    """This machine is too busy for what is played to mean anything."""


class Game:
    """Plays one cell."""

    def __init__(self, cell: Cell, text: Text, memo: Memo) -> None:
        self.cell, self.text, self.memo, self.story = cell, text, memo, Story()
        self.weights = initial(cell.parameters.model, beacon("first", cell.seed))
        self.subnet = Subnet(cell, self.weights, text.corpus.manifest.root())
        self.minds = [cell.mind(each) for each in range(cell.miners)]
        self.errors = [Compressor(cell.parameters).error for _ in range(cell.miners)]
        self.rows: list[Row] = []  # newest first
        self.sent: list[Sent] = []  # of earlier rounds
        self.works: dict[tuple[int, int], Work] = {}  # by miner and round
        self.findings: dict[tuple[int, int], Finding] = {}

    async def play(self) -> Story:
        """Play all rounds, and say what happened."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="assay-arena-") as home:
            async with self._market(Path(home)) as market:
                self.subnet.run_to(Phase.Train)
                self._note_loss()
                for _ in range(self.cell.rounds):
                    await self._round(market)
        self._pay()
        self._count()
        if issubclass(self.cell.attack, Backdoor) and self.cell.attackers:
            tokens = self.text.held_out(self.cell.parameters, HELD_OUT)
            self.story.success = success(self.weights, tokens, self.cell.attack, self.cell.device)
        self.story.seconds = round(time.monotonic() - began, 1)
        return self.story

    @asynccontextmanager
    async def _market(self, home: Path) -> AsyncIterator["Market"]:
        async with AsyncExitStack() as opened:
            heard = list[tuple[Owed, Receipt]]()
            client = BlobClient(patience=PATIENCE_SECONDS, witness=lambda *told: heard.append(told))
            blobs, ledger = await opened.enter_async_context(client), Ledger(self.subnet)
            place = home / "judge"
            place.mkdir()
            shelf, model = Shelf(place), self.cell.parameters.model
            replica = Replica(ledger, blobs, shelf, place, NETUID, model, mirrors=True)  # type: ignore[arg-type]
            market = Market(home, self.subnet, ledger, shelf, replica, opened, heard)
            for miner, mind in enumerate(self.minds):
                await market.open(miner, mind)
            yield market

    async def _round(self, market: "Market") -> None:
        subnet, number = self.subnet, self.subnet.number
        self._prepare()
        for miner in subnet.made:
            if self.minds[miner].commits == IN_TIME:
                self._try(miner, "commit")
        subnet.run_to(Phase.Reveal, number)
        for miner in subnet.made:
            if self.minds[miner].commits == TOO_LATE:
                self._try(miner, "commit")
            if self.minds[miner].reveals and self.minds[miner].commits != NEVER:
                market.put(miner, self.minds[miner])
                self._try(miner, "reveal")
        subnet.run_to(Phase.ScoreCommit, number)
        while subnet.round.beacon1 is None:
            subnet.step()
        await self._judge(market, number)
        if subnet.phase is Phase.Attest and subnet.number == number:
            await self._attest(market, number)
        subnet.run_to(Phase.Train)
        self._audit()
        subnet.runtime.try_state()
        self._note_loss()

    # Miners.

    def _prepare(self) -> None:
        """Have everybody train; who attacks hears what the others have made."""
        heard, self.subnet.made = list[bytes](), {}
        for miner in range(self.cell.miners):
            if self.subnet.runtime.neurons.uid_of(NETUID, self.subnet.miners[miner]) is None:
                continue
            if miner not in self.cell.cheats:
                made = self.subnet.made[miner] = self._work(miner, heard)
                heard.append(made.blob)
                continue
            try:
                self.subnet.made[miner] = self._work(miner, heard)
            except FAILURES as problem:
                _count(self.story.refused, f"attack: {type(problem).__name__}")

    def _work(self, miner: int, heard: Sequence[bytes]) -> Made:
        mind, current, root = self.minds[miner], self.subnet.round, self.weights.root()
        parameters = self.cell.parameters.in_round(current.inner_steps)
        drawn = self._assigned(self.subnet.miners[miner])
        size = parameters.batch_size
        batches = mind.text(self.text.batches(mind.assignment(drawn), size, parameters))
        trained = self.memo.train(self.weights, batches, mind.rules(parameters), self.cell)
        memory = Compressor(parameters, mind.memory(self.errors[miner]))
        before, digest = memory.error.copy(), memory.digest()
        blob = encode(memory.compress(mind.training(trained.delta), root))
        self.errors[miner] = memory.error
        sent = mind.payload(blob, shape_of(parameters, root), heard)
        owed = self.text.batches(drawn, size, parameters)
        self.works[miner, self.subnet.number] = Work(parameters, self.weights, owed, sent, before)
        return Made(sent, digest)

    def _assigned(self, hotkey: bytes) -> tuple[Window, ...]:
        current = self.subnet.round
        parameters = self.cell.parameters.in_round(current.inner_steps)
        return assignment(current.beacon0, hotkey, self.text.corpus.manifest, parameters)

    def _try(self, miner: int, call: Literal["commit", "reveal"]) -> None:
        try:
            getattr(self.subnet, call)(miner)
        except DispatchError as refused:
            _count(self.story.refused, f"{call}: {refused.reason.name}")

    # Judges.

    async def _judge(self, market: "Market", number: int) -> None:
        """Have every judge check, measure, score and reveal; they all measure the same."""
        subnet, parameters = self.subnet, self.cell.parameters
        drawn, updates = subnet.drawn(), subnet.updates()
        assert drawn.beacon1 is not None, "waited for"
        seconds = HOSTILE_SECONDS if issubclass(self.cell.attack, Hostile) else FETCH_SECONDS
        found = await inspect(market.replica, number, updates, parameters, self.weights, seconds)
        self._check_all_heard(updates, found)
        self._prosecute(market)
        able = {each.uid for each in found if each.payload is not None}
        shape = shape_of(parameters, self.weights.root())
        earlier = [each for each in self.sent if each.place[0] >= number - EARLIER_ROUNDS]
        self.sent = earlier + [each.sent(number) for each in found if each.uid in able]
        found = screened(number, found, earlier, shape, drawn.beacon1, parameters.beta_ppm)
        self.story.copies += sum(each.uid in able and each.payload is None for each in found)
        row = await self.memo.row((self.weights, drawn, found), lambda: self._measured(drawn, updates, found))
        hotkeys = {each.uid: each.miner for each in found}
        scores = scored(row, hotkeys, self.rows[:MOST_ROUNDS], drawn.parameters["ema_ppm"])
        self.rows.insert(0, {hotkeys[each.uid]: each for each in scores})
        self.story.rows.append({each.uid - JUDGES: [getattr(each, name) for name in ROW] for each in scores})
        for candidate in found:
            if candidate.payload is not None:
                market.shelf.of(number).put(candidate.blob)
        subnet.score({judge: scores for judge in range(JUDGES)})

    def _check_all_heard(self, updates: Sequence[Update], found: Sequence[Candidate]) -> None:
        """Refuse to go on where this machine was too slow to hear an honest miner."""
        missing = {each.uid for each in updates} - {each.uid for each in found}
        honest = [uid for uid in missing if uid is not None and uid - JUDGES not in self.cell.cheats]
        if honest:
            raise TooSlow(f"honest payloads of uids {honest} did not come in time: run this when less runs")

    def _prosecute(self, market: "Market") -> None:
        """Show the chain what a miner has signed against itself."""
        for owed, receipt in market.heard:
            if receipt.sent != receipt.digest and self.subnet.runtime.neurons.uid_of(NETUID, owed.miner):
                miner, case = AccountId(owed.miner), Delivery(receipt)
                self.subnet.call(
                    self.subnet.judges[0], "ModelUpdates", "submit_evidence", owed.round, miner, case
                )
        market.heard.clear()

    async def _measured(
        self, drawn: Round, updates: Sequence[Update], found: Sequence[Candidate]
    ) -> list[Score]:
        """Return the row without its scores."""
        manifest = self.text.corpus.manifest
        shards = Shards(self.text)
        texts = await texts_of(shards, drawn, manifest, assigned_in(drawn, manifest, updates))  # type: ignore[arg-type]
        measured = await measure(drawn, self.weights, found, texts, self.cell.device, math.inf)
        return row_of(measured, found, self.cell.parameters.norm_clip_ppm)

    async def _attest(self, market: "Market", number: int) -> None:
        subnet = self.subnet
        accepted = [
            Accepted(each.uid, each.hotkey, each.digest, each.weight) for each in subnet.round.accepted
        ]
        self.story.entered.append([subnet.miners.index(AccountId(each.hotkey)) for each in accepted])
        after = await market.replica.merged(self.weights, accepted, self.cell.parameters)
        for judge in range(JUDGES):
            subnet.attest(judge, Hash(after.root()))
        subnet.step()
        if subnet.ended(number).phase is Phase.Closed:
            self.weights = after

    # Audits.

    def _audit(self) -> None:
        """Have the judges that were drawn report, until nobody is asked."""
        verification = self.subnet.runtime.verification
        while asked := [(key, it.judge) for key, it in verification.audits.under(NETUID) if it.judge]:
            for (number, miner), judge in asked:
                verdict, overlap = self._verdict(self.subnet.miners.index(miner), number)
                who = self.subnet.judges[judge.uid]
                self.subnet.call(who, "Verification", "report_audit", number, miner, verdict, overlap)
            self.subnet.step()
            verification = self.subnet.runtime.verification
        for key in [key for key in self.works if key[1] < self.subnet.number - KEPT_ROUNDS]:
            del self.works[key]

    def _verdict(self, miner: int, number: int) -> tuple[Verdict, int]:
        mind = self.minds[miner]
        if not mind.serves or isinstance(mind, Hostile):
            return Verdict.Unavailable, 0
        if (miner, number) not in self.findings:
            earlier = [at for who, at in self.works if who == miner and at < number]
            before = self.works[miner, max(earlier)] if earlier else None
            finding = audit(self.works[miner, number], before, self._train)
            self.findings[miner, number] = finding
            kind = "cheat" if miner in self.cell.cheats else "honest"
            self.story.overlaps.append((kind, number, finding.overlap_ppm, finding.fault))
        finding = self.findings[miner, number]
        passes = finding.passes(self.subnet.runtime.subnets.parameters(NETUID).overlap_ppm)
        return (Verdict.Passed if passes else Verdict.Failed), finding.overlap_ppm

    def _train(self, base: MasterWeights, batches: Sequence[Tokens], rules: TrainingParameters) -> Trained:
        return self.memo.train(base, batches, rules, self.cell)

    # What is written down.

    def _note_loss(self) -> None:
        tokens = self.text.held_out(self.cell.parameters, HELD_OUT)
        self.story.losses.append(round(loss(self.weights, tokens, self.cell.device), 5))

    def _pay(self) -> None:
        """Wait for the epoch that pays for the last round."""
        for _ in range(2 * MONEY["tempo"]):
            if any(isinstance(each, EpochRun) for each in self.subnet.step()):
                self.subnet.step()
                return
        raise AssertionError("no epoch ran")

    def _count(self) -> None:
        story, mine = self.story, range(JUDGES, JUDGES + self.cell.miners)
        for event in self.subnet.happened:
            match event:
                case EmissionPaid() if event.uid in mine:
                    miner = event.uid - JUDGES
                    story.paid[miner] = story.paid.get(miner, 0) + event.incentive
                case EvidenceAccepted() if event.uid in mine:
                    story.slashed[event.uid - JUDGES] = event.slashed
                case RoundClosed():
                    story.closed += 1
                case RoundVoided(round=number) if number <= self.cell.rounds:
                    story.void += 1
                case AuditDrawn() | AuditPassed() | AuditFailed() | MinerWithheld() | MinerSlashed():
                    miner = self.subnet.miners.index(event.miner)
                    kind = "cheat" if miner in self.cell.cheats else "honest"
                    _count(story.audits, f"{kind} {type(event).__name__}")
                    if isinstance(event, MinerSlashed):
                        story.slashed[miner] = event.burnt


@dataclass
class Market:
    """Where payloads are had from: every miner's own server, and the replica of a judge that asks them."""

    home: Path
    subnet: Subnet
    ledger: Ledger
    shelf: Shelf
    replica: Replica
    opened: AsyncExitStack
    heard: list[tuple[Owed, Receipt]]
    stores: dict[int, BlobStore] = field(default_factory=dict)
    signed: dict[int, dict[bytes, str]] = field(default_factory=dict)

    async def open(self, miner: int, mind: Attack) -> None:
        """Start a miner's server."""
        store = self.stores[miner] = BlobStore(self.home / str(miner))
        signed = self.signed[miner] = {}
        serving = hostile(mind) or serve(store, "127.0.0.1", 0, receipts=signed.get)
        self.ledger.urls[self.subnet.miners[miner]] = await self.opened.enter_async_context(serving)

    def put(self, miner: int, mind: Attack) -> None:
        """Have a miner serve what it serves."""
        made = self.subnet.made[miner]
        if mind.serves and made.blob:
            served = mind.serving(made.blob)
            receipt = receipts.sign(Pen(self.subnet, miner), NETUID, self.subnet.number, made.digest, served)
            self.stores[miner].put_as(made.digest, served)
            self.signed[miner][made.digest] = RECEIPT.encode(receipt).hex()


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
