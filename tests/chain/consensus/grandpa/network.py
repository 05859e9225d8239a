"""A small network of voters under one virtual clock; everything random comes from the seed.

Blocks come by a perfect sync whenever two peers can talk; votes are sent once, to everybody, and get lost. A
byzantine voter is a pair of twins: two honest voters with one key that know nothing of each other. What must
never happen is checked as it would happen: two final blocks on different chains, an honest voter with two
votes in one phase, a vote past a set change, a commit that does not carry its weight.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from chain.consensus.grandpa.effects import (
    Cast,
    Effect,
    Fetch,
    Finalize,
    Report,
    Save,
    Send,
    SetTimer,
    VoterRecord,
)
from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    GossipMessage,
    Neighbor,
    Vote,
)
from chain.consensus.grandpa.round import VoterSet
from chain.consensus.grandpa.voter import Voter
from runtime.primitives.grandpa import (
    Block,
    Commit,
    EquivocationProof,
    Message,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
    localized_payload,
)
from runtime.primitives.types import Hash

GENESIS: Block = (Hash(bytes(32)), 0)
PHASES = {PrimaryPropose: 1, Prevote: 2, Precommit: 3}


class Broken(AssertionError):
    """A rule of the protocol was broken by a voter that keeps to it, or finality by few byzantine ones."""


class Blocks:
    """Every block there is."""

    def __init__(self, change_every: int = 0) -> None:
        self.parents: dict[Hash, Block] = {}
        self.change_every = change_every  # blocks; at these heights the voters change, 0 for never
        self._count = 0

    def extend(self, parent: Block, length: int = 1) -> Block:
        """Make a chain on a block and return its head."""
        for _ in range(length):
            self._count += 1
            block = Hash(self._count.to_bytes(32, "big"))
            self.parents[block] = parent
            parent = block, parent[1] + 1
        return parent

    def ancestor(self, block: Block, number: int) -> Block:
        """Return the block at a height on the chain below another."""
        while block[1] > number:
            block = self.parents[block[0]]
        return block

    def agree(self, one: Block, other: Block) -> bool:
        """Say whether two blocks are on one chain."""
        low, high = sorted((one, other), key=lambda block: block[1])
        return self.ancestor(high, low[1]) == low


@dataclass
class View:
    """The blocks that one peer has; its best chain is the longest above its final block."""

    blocks: Blocks
    known: set[Hash] = field(default_factory=lambda: {GENESIS[0]})
    best: Block = GENESIS
    final: Block = GENESIS

    def learn(self, head: Block) -> bool:
        """Take in a block with all below it; say whether anything was new."""
        if head[0] in self.known:
            return False
        block = head
        while block[0] not in self.known:
            self.known.add(block[0])
            block = self.blocks.parents[block[0]]
        if head[1] > self.best[1] and self.blocks.agree(head, self.final):
            self.best = head
        return True

    def finalize(self, block: Block) -> None:
        """Make a block final; the best chain contains it."""
        self.final = block
        if not self.blocks.agree(self.best, block) or self.best[1] < block[1]:
            self.best = self.best_containing(block[0]) or block

    def parent(self, block: Hash) -> Block | None:
        """Return the parent of a known block."""
        return self.blocks.parents.get(block) if block in self.known else None

    def number(self, block: Hash) -> int:
        """Return the height of a block."""
        return self.blocks.parents[block][1] + 1 if block in self.blocks.parents else 0

    def best_containing(self, block: Hash) -> Block | None:
        """Return the head of the longest chain with a block."""
        if block not in self.known:
            return None
        target = block, self.number(block)
        if self.best[1] >= target[1] and self.blocks.agree(self.best, target):
            return self.best
        known = [(each, self.number(each)) for each in sorted(self.known)]
        above = [each for each in known if each[1] >= target[1] and self.blocks.agree(each, target)]
        return max(above, key=lambda each: each[1])

    def next_change(self, block: Hash) -> int | None:
        """Return the next height above the final block at which voters change."""
        every = self.blocks.change_every
        if not every:
            return None
        change = (self.final[1] // every + 1) * every
        return change if change <= self.number(block) else None


class Guard:
    """Remembers the last vote of a key, as the node's does; it outlives crashes."""

    def __init__(self) -> None:
        self.last: tuple[tuple[int, int, int], Message] | None = None

    def allows(self, cast: Cast) -> bool:
        """Say whether a vote may be signed, and remember it."""
        position = cast.set_id, cast.round, PHASES[type(cast.message)]
        if self.last is not None and position <= self.last[0]:
            return self.last == (position, cast.message)
        self.last = position, cast.message
        return True


class Peer:
    """One voter with its view of the chain and what it has on disk."""

    def __init__(self, network: "Network", name: str, public: bytes, honest: bool) -> None:
        self.network = network
        self.name = name
        self.public = public
        self.honest = honest
        self.view = View(network.blocks)
        self.guard = Guard()
        self.record = VoterRecord.fresh(0, GENESIS)
        self.proofs: list[EquivocationProof] = []
        self.changes: dict[int, CommitMessage] = {}  # set -> why it ended
        self.up = False
        self.life = 0
        self.voter: Voter

    def start(self) -> None:
        """Begin, or begin again with what is on disk."""
        self.up, self.life = True, self.life + 1
        self.new_voter()
        self.do(self.voter.start())

    def new_voter(self) -> None:
        """Make the voter of the saved set."""
        voters = self.network.voters
        self.voter = self.network.voter_type(self.view, voters, [self.public], self.record, self.view.final)
        last = self.guard.last
        if last is not None:  # signed, but the crash came before it was saved
            (set_id, round_, _), message = last
            if set_id == self.voter.set_id and abs(round_ - self.voter.round) <= 1:
                self.do(self.voter.signed(self.network.signed(self.public, message, round_, set_id)))

    def crash(self) -> None:
        """Stop; timers and what was not saved are lost."""
        self.up = False

    def do(self, effects: list[Effect]) -> None:
        """Carry out effects in order; those of a voter that was replaced or crashed are void."""
        voter, life = self.voter, self.life
        for effect in effects:
            if self.voter is not voter or self.life != life or not self.up:
                return
            self.carry_out(effect)

    def carry_out(self, effect: Effect) -> None:
        """Carry out one effect."""
        network, life = self.network, self.life
        match effect:
            case SetTimer(timer, seconds):
                network.after(
                    seconds, lambda: self.up and self.life == life and self.do(self.voter.timer(timer))
                )
            case Cast(voter, message, round_, set_id):
                self.cast(effect, network.signed(voter, message, round_, set_id))
            case Send(message, peer):
                network.send(self, message, peer)
            case Fetch(block):
                self.network.fetch(self, block)
            case Save(record):
                self.record = record
            case Report(proof):
                self.proofs.append(proof)
            case Finalize(target, round_, commit):
                self.finalize(target, round_, commit)

    def cast(self, cast: Cast, vote: Vote) -> None:
        """Sign a vote if the guard lets it; the crash that may follow comes before anything is saved."""
        if self.network.guarded and not self.guard.allows(cast):
            return
        self.network.check_vote(self, vote)
        if self.network.rng.random() < self.network.crash_on_signing:
            self.crash()
            self.network.after(self.network.rng.uniform(0.1, 5), self.start)
            return
        self.do(self.voter.signed(vote))

    def finalize(self, target: Block, round_: int, commit: Commit) -> None:
        """Make a block final, and change the voters where it says so."""
        self.network.check_final(self, target, commit)
        self.view.finalize(target)
        every = self.network.blocks.change_every
        if every and target[1] % every == 0:
            set_id = self.voter.set_id
            self.changes[set_id] = CommitMessage.of(round_, set_id, commit)
            self.record = VoterRecord.fresh(set_id + 1, target)
            self.new_voter()
            self.do(self.voter.start())

    def learn(self, head: Block) -> None:
        """Import a block and all below it."""
        if self.up and self.view.learn(head):
            self.do(self.voter.chain_changed())

    def receive(self, sender: str, message: GossipMessage) -> None:
        """Hand a message to the voter."""
        voter, now = self.voter, self.network.now
        match message:
            case Vote():
                self.do(voter.vote(message))
            case CommitMessage():
                self.do(voter.commit(message))
            case Neighbor(packet):
                if packet.set_id < voter.set_id and packet.set_id in self.changes:  # block sync's part
                    self.network.send(self, self.changes[packet.set_id], sender)
                self.do(voter.neighbor(sender, packet, now))
            case CatchUpRequest():
                self.do(voter.catch_up_request(sender, message, now))
            case CatchUp():
                self.do(voter.catch_up(sender, message))


@dataclass
class Network:
    """All peers, the messages between them, and the clock."""

    seed: int
    weights: list[int]
    byzantine: int = 0  # the last of the voters are twins
    loss: float = 0.0
    delay: tuple[float, float] = (0.02, 0.25)  # seconds
    change_every: int = 0
    crash_on_signing: float = 0.0
    guarded: bool = True
    voter_type: type[Voter] = Voter
    watches_estimates: bool = False  # whether precommits must build on what the round before may have decided

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], object]]] = []
        self.count = 0
        self.blocks = Blocks(self.change_every)
        self.keys = [bytes([index + 1]) * 32 for index in range(len(self.weights))]
        self.voters = VoterSet(list(zip(self.keys, self.weights, strict=True)))
        self.final = GENESIS
        self.cast: dict[tuple[bytes, int, int, int], Block] = {}
        self.sides: dict[str, int] = {}
        self.latency: list[float] = []
        self.born: dict[Hash, float] = {}
        honest = len(self.weights) - self.byzantine
        self.peers = [Peer(self, f"v{index}", self.keys[index], True) for index in range(honest)]
        for index in range(honest, len(self.weights)):
            self.peers += [Peer(self, f"v{index}{twin}", self.keys[index], False) for twin in "ab"]

    def start(self) -> "Network":
        """Start all peers and the production of blocks."""
        for peer in self.peers:
            peer.start()
        self.after(0.1, self.announce)
        return self

    @property
    def honest(self) -> list[Peer]:
        """The peers whose key has no twin."""
        return [peer for peer in self.peers if peer.honest]

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something later."""
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, action))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.events and self.events[0][0] <= until:
            self.now, _, action = heapq.heappop(self.events)
            action()
        self.now = until

    def produce(self, every: float, until: float, forks: float = 0.2) -> None:
        """Have random peers make blocks, now and then two at once."""
        moment = self.now
        while (moment := moment + every) < until:
            self.after(moment - self.now, lambda: self.author(forks))

    def author(self, forks: float) -> None:
        """Have one peer of each side make a block, or two."""
        up = [peer for peer in self.peers if peer.up]
        for side in sorted({self.sides.get(peer.name, 0) for peer in up}):
            here = [peer for peer in up if self.sides.get(peer.name, 0) == side]
            authors = self.rng.sample(here, min(len(here), 2 if self.rng.random() < forks else 1))
            for author, parent in [(peer, peer.view.best) for peer in authors]:
                head = self.blocks.extend(parent)
                self.born[head[0]] = self.now
                author.learn(head)
                for other in self.peers:
                    self.tell(author, other, head)

    def announce(self) -> None:
        """Have every peer tell the others its best block, so that whoever missed some gets them."""
        for peer in self.peers:
            for other in self.peers:
                if peer.up:
                    self.tell(peer, other, peer.view.best)
        self.after(2.0, self.announce)

    def tell(self, sender: Peer, receiver: Peer, head: Block) -> None:
        """Send a block, with all below it."""
        if receiver is not sender and self.connected(sender, receiver):
            self.after(self.rng.uniform(*self.delay), lambda: receiver.learn(head))

    def fetch(self, receiver: Peer, block: Block) -> None:
        """Get a block from whoever has it and can be reached."""
        for other in self.peers:
            if other.up and block[0] in other.view.known:
                self.tell(other, receiver, block)

    def connected(self, one: Peer, other: Peer) -> bool:
        """Say whether two peers are on the same side; a partition may put twins on different ones."""
        return self.sides.get(one.name, 0) == self.sides.get(other.name, 0)

    def partition(self, *sides: list[str]) -> None:
        """Cut the network; without sides, heal it."""
        self.sides = {name: number for number, side in enumerate(sides) for name in side}

    def send(self, sender: Peer, message: GossipMessage, to: str | None) -> None:
        """Send a message to one peer or to all, over the wire."""
        data = GOSSIP_MESSAGE.encode(message)
        for receiver in self.peers:
            if receiver is sender or (to is not None and receiver.name != to):
                continue
            if self.connected(sender, receiver) and self.rng.random() >= self.loss:
                self.after(self.rng.uniform(*self.delay), self.delivery(sender, receiver, data))

    def delivery(self, sender: Peer, receiver: Peer, data: bytes) -> Callable[[], None]:
        """Return what hands a message over, unless a cut or a crash came first."""

        def deliver() -> None:
            if receiver.up and self.connected(sender, receiver):
                receiver.receive(sender.name, GOSSIP_MESSAGE.decode(data))

        return deliver

    def signed(self, voter: bytes, message: Message, round_: int, set_id: int) -> Vote:
        """Return a vote with a signature that only shows what it is for."""
        payload = localized_payload(message, round_, set_id)
        return Vote(round_, set_id, SignedMessage(message, (payload[:1] + payload[-28:]).ljust(64), voter))

    # What must never happen.

    def check_vote(self, peer: Peer, vote: Vote) -> None:
        """Check a vote that was signed."""
        message = vote.message.message
        target = message.target_hash, message.target_number
        change = peer.view.next_change(target[0])
        if change is not None and target[1] > change:
            raise Broken(f"{peer.name} votes for #{target[1]}, past the set change at #{change}")
        key = vote.message.id, vote.set_id, vote.round, PHASES[type(message)]
        if peer.honest and self.cast.setdefault(key, target) != target:
            raise Broken(f"{peer.name} votes twice in set {vote.set_id}, round {vote.round}")
        rounds = peer.voter.rounds
        estimate = rounds[0].state.estimate if len(rounds) > 1 else None
        is_watched = self.watches_estimates and isinstance(message, Precommit) and estimate is not None
        if is_watched and self.blocks.ancestor(target, estimate[1]) != estimate:
            raise Broken(f"{peer.name} precommits #{target[1]} without the estimate, #{estimate[1]}")

    def check_final(self, peer: Peer, target: Block, commit: Commit) -> None:
        """Check a block that became final."""
        if not self.blocks.agree(target, self.final):
            raise Broken(f"#{target[1]} at {peer.name} conflicts with final #{self.final[1]}")
        cast: dict[bytes, set[Hash]] = {}
        for signed in commit.precommits:
            cast.setdefault(signed.id, set()).add(signed.precommit.target_hash)
        weight = sum(
            self.voters.weights[voter]
            for voter, targets in cast.items()
            if len(targets) > 1 or self.supports(next(iter(targets)), target)
        )
        total = sum(self.weights)
        if 3 * (total - weight) >= total:
            raise Broken(f"{weight} of {total} finalise #{target[1]} at {peer.name}")
        if target[1] > self.final[1]:
            self.final = target
            if target[0] in self.born:
                self.latency.append(self.now - self.born[target[0]])

    def supports(self, voted: Hash, target: Block) -> bool:
        """Say whether a vote is for a block or above."""
        number = self.blocks.parents[voted][1] + 1 if voted in self.blocks.parents else 0
        return number >= target[1] and self.blocks.ancestor((voted, number), target[1]) == target
