"""A small chain with one training subnet: judges hold the uids from 0, miners the ones after them."""

from typing import Any

import sr25519

from runtime.frame.base import Runtime
from runtime.frame.testing import Externalities
from runtime.pallets.authorship import Authorship
from runtime.pallets.babe import Babe
from runtime.pallets.balances import Balances
from runtime.pallets.election.pallet import ElectionProvider
from runtime.pallets.historical import Historical
from runtime.pallets.incentive.pallet import Incentive
from runtime.pallets.model_updates.pallet import ModelUpdates
from runtime.pallets.neurons.pallet import Neurons
from runtime.pallets.offences import Offences
from runtime.pallets.session import Session
from runtime.pallets.staking.pallet import Staking
from runtime.pallets.subnets.pallet import Subnets
from runtime.pallets.system import System
from runtime.pallets.timestamp import Timestamp
from runtime.pallets.training.pallet import Training
from runtime.pallets.training.types import Phase, Round
from runtime.pallets.verification.pallet import Verification
from runtime.pallets.weights import Weights
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.commitments import Score, score_commitment, update_commitment
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Receipt, statement
from runtime.primitives.types import AccountId, Hash

NETUID = 1
ASY = 10**12
SALT = b"s" * 32
FIRST_ROOT = Hash(b"\x01" * 32)
DATA_ROOT = Hash(b"\xda" * 32)
URL = "http://127.0.0.1:9000/"
WINDOWS = {
    "train_window": 8,
    "reveal_window": 4,
    "score_commit_window": 5,
    "score_reveal_window": 4,
    "attest_window": 5,
    "tempo": 40,
    "freeze_window": 2,
    "audit_rate_ppm": 0,
}


def account(name: str) -> AccountId:
    """Return an account nobody needs the key of."""
    return AccountId(blake2_256(name.encode()))


OWNER = account("owner")
STRANGER = account("stranger")


class BenchRuntime(Runtime):
    """Everything a round touches."""

    system = System.at(0)
    session = Session.at(6, accounts=system, manager="staking", handlers=("babe", "historical"))
    babe = Babe.at(2, system=system, session=session, historical="historical", offences="offences")
    timestamp = Timestamp.at(1, slots=babe)
    authorship = Authorship.at(3, babe=babe, session=session)
    balances = Balances.at(4, accounts=system)
    staking = Staking.at(
        7,
        currency=balances,
        session=session,
        election="election",
        pot="incentive",
        authorship=authorship,
        timestamp=timestamp,
    )
    historical = Historical.at(8, staking=staking)
    offences = Offences.at(9, historical=historical, staking=staking, authorship=authorship, babe=babe)
    election = ElectionProvider.at(11, voters=staking)
    subnets = Subnets.at(20, system=system, incentive="incentive")
    neurons = Neurons.at(
        21,
        system=system,
        subnets=subnets,
        currency=balances,
        staking=staking,
        earnings="incentive",
        hygiene=("weights", "incentive", "verification"),
        weights="weights",
    )
    weights = Weights.at(22, system=system, subnets=subnets, neurons=neurons, incentive="incentive")
    incentive = Incentive.at(
        23, subnets=subnets, neurons=neurons, weights=weights, currency=balances, staking=staking
    )
    model_updates = ModelUpdates.at(24, system=system, training="training", neurons=neurons)
    training = Training.at(
        25,
        system=system,
        subnets=subnets,
        neurons=neurons,
        incentive=incentive,
        babe=babe,
        model_updates=model_updates,
        verification="verification",
    )
    verification = Verification.at(
        26,
        system=system,
        subnets=subnets,
        training=training,
        neurons=neurons,
        model_updates=model_updates,
        incentive=incentive,
        weights=weights,
        babe=babe,
        currency=balances,
    )


def digest_of(miner: int, number: int) -> Hash:
    """Return the digest of what a miner made in a round."""
    return Hash(blake2_256(bytes([miner]) + number.to_bytes(4, "little")))


class Bench:
    """Drives the subnet call by call and block by block."""

    def __init__(
        self,
        judges: int = 2,
        miners: int = 2,
        *,
        stakes: list[int] | None = None,
        authorities: int | list[int] = 1,
        genesis: dict[str, Any] | None = None,
        signing: bool = False,
        founded: bool = True,
        **hyperparameters: int,
    ) -> None:
        self.judges = [account(f"judge {index}") for index in range(judges)]
        self.keys = [sr25519.pair_from_seed(account(f"key {index}")) for index in range(miners) if signing]
        self.miners = [AccountId(public) for public, _ in self.keys] or [
            account(f"miner {index}") for index in range(miners)
        ]
        chosen = {**WINDOWS, **hyperparameters}
        self.genesis = genesis or self._genesis(stakes or [1_000] * judges, authorities, chosen)
        if not founded:
            self.genesis = self.genesis | {"training": {}}
        self.ext = Externalities(BenchRuntime, genesis=self.genesis)

    def _genesis(
        self, stakes: list[int], authorities: int | list[int], hyperparameters: dict[str, int]
    ) -> dict[str, Any]:
        colds = [account(f"stash {index}") for index in range(len(stakes))]
        bonded = [1] * authorities if isinstance(authorities, int) else authorities
        nodes = [account(f"authority {index}") for index in range(len(bonded))]
        rich = [*colds, *nodes, *self.judges, *self.miners, OWNER, STRANGER]
        seats = [*zip(self.judges, colds, strict=True), *((miner, miner) for miner in self.miners)]
        bonds = [*zip(colds, stakes, strict=True), *zip(nodes, bonded, strict=True)]
        keys = [[hexed(node), {"babe": hexed(node), "grandpa": hexed(node)}] for node in nodes]
        return {
            "balances": {"balances": [[hexed(who), 100_000 * ASY] for who in rich]},
            "session": {"keys": keys},
            "staking": {"stakers": [[hexed(stash), bond * ASY] for stash, bond in bonds if bond]},
            "subnets": {
                str(NETUID): {
                    "kind": "Training",
                    "owner": hexed(OWNER),
                    "hyperparameters": hyperparameters,
                }
            },
            "neurons": {str(NETUID): [{"hotkey": hexed(h), "coldkey": hexed(c)} for h, c in seats]},
            "incentive": {str(NETUID): list(range(len(stakes)))},
            "training": {str(NETUID): {"model_root": hexed(FIRST_ROOT)}},
        }

    @property
    def runtime(self) -> Any:
        """Return the runtime of the open block."""
        return self.ext.runtime

    @property
    def now(self) -> int:
        """Return the number of the open block."""
        return self.ext.number

    @property
    def phase(self) -> Phase:
        """Return the subnet's phase."""
        phase: Phase = self.runtime.training.phase[NETUID]
        return phase

    @property
    def number(self) -> int:
        """Return the subnet's current round."""
        number: int = self.runtime.training.current_round[NETUID]
        return number

    @property
    def round(self) -> Round:
        """Return what is stored of the current round."""
        return self.ended(self.number)

    def ended(self, number: int) -> Round:
        """Return what is stored of a round."""
        stored: Round = self.runtime.training.rounds[NETUID, number]
        return stored

    def uid(self, miner: int) -> int:
        """Return a miner's uid."""
        return len(self.judges) + miner

    def receipt(self, miner: int, digest: Hash, sent: Hash, **changed: Any) -> Receipt:
        """Return what a miner of a signing bench says about 1,000 bytes that it hands out in this round."""
        told = {"genesis": self.genesis_hash, "netuid": NETUID, "round": self.number, **changed}
        about: dict[str, Any] = {"hotkey": self.miners[miner], **told}
        signed = statement(**about, digest=digest, sent=sent, length=1_000)
        return Receipt(digest, sent, 1_000, sr25519.sign(self.keys[miner], signed))

    # Blocks.

    def step(self, author: int = 0) -> list[Any]:
        """Open the next block and return what its hooks deposited."""
        self.ext.close_block()
        self.ext.open_block((pre_digest_item(SecondaryPlain(author, self.ext.number + 1)),))
        self.runtime.try_state()
        return self.ext.new_events()

    def run_to(self, phase: Phase, number: int | None = None, limit: int = 60) -> None:
        """Open blocks until the subnet is in this phase (of this round)."""
        for _ in range(limit + 1):
            if self.phase is phase and number in (None, self.number):
                return
            self.step()
        raise AssertionError(f"{phase} of {number} not reached: {self.phase} of {self.number}")

    def start(self) -> None:
        """Register a data set and wait for the first round."""
        self.call(OWNER, "Training", "set_dataset", DATA_ROOT, URL)
        self.run_to(Phase.Train)

    # Calls.

    def call(self, who: AccountId, pallet: str, name: str, *arguments: Any) -> None:
        """Dispatch a call about the subnet."""
        self.ext.dispatch(who, pallet, name, NETUID, *arguments)

    def opened(self, miner: int, digest: Hash | None = None) -> tuple[Any, ...]:
        """Return what a miner reveals in this round: digest, length, error-feedback digest, salt."""
        return digest or digest_of(miner, self.number), 1_000, Hash(bytes(32)), SALT

    def sealed(self, miner: int, digest: Hash | None = None) -> Hash:
        """Return the commitment to it."""
        digest, length, ef_digest, salt = self.opened(miner, digest)
        who = self.miners[miner]
        return update_commitment(self.genesis_hash, NETUID, self.number, who, salt, digest, length, ef_digest)

    @property
    def genesis_hash(self) -> Hash:
        """Return the chain's name."""
        name: Hash = self.runtime.system.genesis_hash()
        return name

    def commit(self, *miners: int) -> None:
        """Let miners commit."""
        for miner in miners:
            commitment = self.sealed(miner)
            self.call(self.miners[miner], "ModelUpdates", "commit", self.number, commitment)

    def reveal(self, *miners: int) -> None:
        """Let miners reveal."""
        for miner in miners:
            self.call(self.miners[miner], "ModelUpdates", "reveal", self.number, *self.opened(miner))

    def commit_scores(self, judge: int, scores: list[Score]) -> None:
        """Let a judge seal its scores."""
        who = self.judges[judge]
        commitment = score_commitment(self.genesis_hash, NETUID, self.number, who, SALT, scores)
        self.call(who, "Verification", "commit_scores", self.number, commitment)

    def reveal_scores(self, judge: int, scores: list[Score]) -> None:
        """Let a judge open its scores."""
        self.call(self.judges[judge], "Verification", "reveal_scores", self.number, scores, SALT)

    def score(self, verdicts: dict[int, list[Score]]) -> None:
        """Let judges seal and open their scores, from SCORE_COMMIT on, and wait for what follows."""
        number = self.number
        for judge, scores in verdicts.items():
            self.commit_scores(judge, scores)
        self.run_to(Phase.ScoreReveal, number)
        for judge, scores in verdicts.items():
            self.reveal_scores(judge, scores)
        while self.phase is Phase.ScoreReveal:
            self.step()

    def attest(self, judge: int, root: Hash) -> None:
        """Let a judge attest a root."""
        self.call(self.judges[judge], "Training", "attest_root", self.number, root)

    def mine(self, *miners: int) -> None:
        """Let miners commit and reveal, from TRAIN to SCORE_COMMIT."""
        number = self.number
        self.commit(*miners)
        self.run_to(Phase.Reveal, number)
        self.reveal(*miners)
        self.run_to(Phase.ScoreCommit, number)

    def play(self, root: Hash) -> None:
        """Play a whole round in which everybody does everything and agrees."""
        number = self.number
        self.mine(*range(len(self.miners)))
        share = 1_000_000 // len(self.miners)
        scores = [marks(self.uid(miner), share) for miner in range(len(self.miners))]
        self.score({judge: scores for judge in range(len(self.judges))})
        assert (self.phase, self.number) == (Phase.Attest, number)
        for judge in range(len(self.judges)):
            self.attest(judge, root)
        self.step()


def marks(uid: int, score: int) -> Score:
    """Return a score with some plausible losses."""
    return Score(uid, score, 5_500_000, 5_400_000, 1_000_000, 0)


def root_of(number: int) -> Hash:
    """Return some model."""
    return Hash(blake2_256(b"model" + bytes([number])))


def hexed(raw: bytes) -> str:
    """Return 0x and hex digits."""
    return "0x" + raw.hex()
