"""Short sessions with real BABE and GRANDPA pallets, and a committee that says who the validators are."""

from collections.abc import Mapping, Sequence
from typing import Any

from nacl.signing import SigningKey

from runtime.frame.base import Runtime
from runtime.frame.declare import constant
from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.frame.testing import Externalities
from runtime.pallets.authorship import Authorship
from runtime.pallets.babe import Babe
from runtime.pallets.balances import Balances
from runtime.pallets.grandpa import Grandpa
from runtime.pallets.historical import Historical
from runtime.pallets.offences import Offences
from runtime.pallets.session import Session
from runtime.pallets.system import System
from runtime.primitives import babe, grandpa
from runtime.primitives.authority_weights import UNIT
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.hashing import blake2_256, twox_64_concat
from runtime.primitives.header import BABE_ENGINE, GRANDPA_ENGINE, Consensus
from runtime.primitives.session import Authority, SessionKeys, ownership_statement
from runtime.primitives.shapes import u32
from runtime.primitives.types import AccountId, Balance

EPOCH = 10
FIRST_SLOT = 1_000
FUNDS = 10**15
Plan = list[tuple[AccountId, Balance]]


class Committee(Pallet[None, NoError]):
    """Names the validators it was told to, and writes down in which order it hears what."""

    sessions_per_era: u32 = constant(2)
    bonding_duration: u32 = constant(2)

    bonded: Map[AccountId, AccountId] = storage(hasher=twox_64_concat)
    chosen: Value[list[tuple[AccountId, Balance]]] = storage()
    heard: Value[list[bytes]] = storage(default=[])

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Bond `members`: [[account, stake], ...], and choose them."""
        members = [(AccountId(bytes.fromhex(who[2:])), stake) for who, stake in config["members"]]
        for who, _ in members:
            self.bonded[who] = who
        self.chosen.put([(who, stake) for who, stake in members if stake])

    def new_session(self, index: int) -> Plan | None:
        """Return who was chosen since it was asked last."""
        self.hear(f"new {index}")
        chosen = self.chosen.find()
        self.chosen.kill()
        return chosen

    def start_session(self, index: int) -> None:
        """Hear it."""
        self.hear(f"start {index}")

    def end_session(self, index: int) -> None:
        """Hear it."""
        self.hear(f"end {index}")

    def on_genesis_session(self, validators: Sequence[Authority]) -> None:
        """Hear it."""
        self.hear(f"genesis with {len(validators)}")

    def on_new_session(
        self, index: int, changed: bool, validators: Sequence[Authority], queued: Sequence[Authority]
    ) -> None:
        """Hear it."""
        self.hear(f"session {index} with {len(validators)}, then {len(queued)}{', changed' * changed}")

    def on_disabled(self, index: int) -> None:
        """Hear it."""
        self.hear(f"without {index}")

    def on_offence(self, stash: AccountId, fraction_ppb: int, session: int, by: list[AccountId]) -> None:
        """Hear it."""
        self.hear(f"offence in session {session}")

    def hear(self, what: str) -> None:
        """Write it down."""
        self.heard.put([*self.heard.get(), what.encode()])


class Rotating(Runtime):
    """All that takes part in a session."""

    system = System.at(0)
    session = Session.at(
        6, accounts=system, manager="committee", handlers=("babe", "grandpa", "historical", "committee")
    )
    babe = Babe.at(
        2,
        system=system,
        session=session,
        historical="historical",
        offences="offences",
        epoch_duration=EPOCH,
    )
    authorship = Authorship.at(3, babe=babe, session=session)
    balances = Balances.at(4, accounts=system)
    committee = Committee.at(7)
    historical = Historical.at(8, staking=committee)
    offences = Offences.at(9, historical=historical, staking=committee, authorship=authorship, babe=babe)
    grandpa = Grandpa.at(10, system=system, historical=historical, offences=offences, rewards=None)


def account(name: str) -> AccountId:
    """Return the account of a name."""
    return AccountId(blake2_256(name.encode()))


def signer(name: str, kind: str) -> SigningKey:
    """Return the session key of a kind that a name stands for."""
    return SigningKey(blake2_256(f"{kind} of {name}".encode()))


def keys(name: str) -> SessionKeys:
    """Return the session keys a name stands for."""
    return SessionKeys(*(bytes(signer(name, kind).verify_key) for kind in ("babe", "grandpa")))


def proof(name: str, owner: AccountId) -> bytes:
    """Return the proof that the holder of a name's keys wants them to be an owner's."""
    signed = (signer(name, kind).sign(ownership_statement(owner)) for kind in ("babe", "grandpa"))
    return b"".join(bytes(each.signature) for each in signed)


def authority(name: str, weight: int, of: str | None = None) -> Authority:
    """Return an authority with the keys of its name, or of another."""
    return Authority(account(name), keys(of or name), weight)


class Bench:
    """A chain whose members are bonded with so much stake, in units of weight; those `keyed` have keys."""

    def __init__(self, members: Mapping[str, int], keyed: Sequence[str], poor: Sequence[str] = ()) -> None:
        rich = [name for name in members if name not in poor]
        config = {
            "balances": {"balances": [[hexed(account(name)), FUNDS] for name in rich]},
            "session": {"keys": [[hexed(account(name)), section(keys(name))] for name in keyed]},
            "committee": {
                "members": [[hexed(account(name)), stake * UNIT] for name, stake in members.items()]
            },
        }
        self.ext = Externalities(Rotating, genesis=config)
        self.slot = FIRST_SLOT
        self.ext.number = 0  # block 1 again, with a slot
        self._open(0)

    @property
    def runtime(self) -> Any:
        """Return the runtime of the open block."""
        return self.ext.runtime

    @property
    def heard(self) -> list[str]:
        """Return what the committee heard."""
        return [each.decode() for each in self.runtime.committee.heard.get()]

    def forget(self) -> None:
        """Have the committee forget what it heard."""
        self.runtime.committee.heard.kill()

    def choose(self, **stakes: int) -> None:
        """Have the committee name these validators when it is asked next; in units of weight."""
        self.runtime.committee.chosen.put([(account(name), stake * UNIT) for name, stake in stakes.items()])

    def set_keys(self, name: str, of: str | None = None, shown: bytes = b"") -> None:
        """Set keys, its own or another's."""
        self.ext.dispatch(account(name), "Session", "set_keys", keys(of or name), shown)

    def next_session(self, author: int = 0, skipped: int = 0) -> list[Any]:
        """Close the block, open one in the next session, or epochs later, and return its hooks' events."""
        epoch = (self.slot - FIRST_SLOT) // EPOCH + 1 + skipped
        return self.next_block(author, FIRST_SLOT + epoch * EPOCH)

    def next_block(self, author: int = 0, slot: int | None = None) -> list[Any]:
        """Close the block, open the next one and return its hooks' events."""
        self.ext.close_block()
        self.slot = self.slot + 1 if slot is None else slot
        self._open(author)
        self.check()
        return self.ext.new_events()

    def _open(self, author: int) -> None:
        self.ext.open_block((pre_digest_item(SecondaryPlain(author, self.slot)),))

    def check(self) -> None:
        """Assert all invariants, and that both engines have the validators with their weights."""
        runtime = self.runtime
        runtime.try_state()
        office = list(zip(runtime.session.validators.get(), runtime.session.weights.get(), strict=True))
        assert [weight for _, weight in runtime.babe.authorities.get()] == [weight for _, weight in office]
        queued = zip(runtime.session.queued_keys.get(), runtime.session.queued_weights.get(), strict=True)
        expected = [(held.babe, weight) for (_, held), weight in queued]
        assert runtime.babe.next_authorities.get() == expected

    def office(self) -> list[Authority]:
        """Return who is in office, as both engines have it when the block is closed."""
        self.next_block()
        runtime = self.runtime
        stashes, weights = runtime.session.validators.get(), runtime.session.weights.get()
        authors, voters = runtime.babe.authorities.get(), runtime.grandpa.authorities.get()
        assert [weight for _, weight in authors] == [weight for _, weight in voters] == weights
        held = [SessionKeys(author, voter) for (author, _), (voter, _) in zip(authors, voters, strict=True)]
        return [Authority(*each) for each in zip(stashes, held, weights, strict=True)]

    def babe_logs(self) -> list[Any]:
        """Return what the block tells the authors so far."""
        return self._logs(BABE_ENGINE, babe.CONSENSUS_LOG)

    def grandpa_logs(self) -> list[Any]:
        """Return what the block tells the voters so far."""
        return self._logs(GRANDPA_ENGINE, grandpa.CONSENSUS_LOG)

    def _logs(self, engine: bytes, log: Any) -> list[Any]:
        logs = self.runtime.system.digest.get().logs
        return [log.decode(each._1) for each in logs if isinstance(each, Consensus) and each._0 == engine]


def hexed(raw: bytes) -> str:
    """Return bytes as a specification has them."""
    return "0x" + raw.hex()


def section(held: SessionKeys) -> dict[str, str]:
    """Return session keys as a specification has them."""
    return {"babe": hexed(held.babe), "grandpa": hexed(held.grandpa)}
