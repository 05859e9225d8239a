"""What every real client must be able to do with a node, in one place: the checks, and why a client cannot.

Each client has a program that makes the checks and prints, by the check's name, what it found. A function
here says what a check proves (its first line) and judges that finding, against what the node says over plain
JSON-RPC and against code that shares nothing with ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from substrateinterface import Keypair, SubstrateInterface
from substrateinterface.utils.ss58 import ss58_encode

from tests.differential.naive_trie import digest, ordered_root, proven
from tests.e2e.process import SLOT_MS, NodeProcess

UNIT = 10**12
"""planck"""
GIFT = str(UNIT)
PREFIX = 42
ACCOUNTS = "0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9"
ALICE = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
PROOF_KEYS = [
    ACCOUNTS + "de1e86a9a8c739864cf3cc5ec2bea59f" + ALICE,  # a value with a hash of its own
    "0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac",  # System.Number, inside its node
    "0x3a636f6465",  # :code
    ACCOUNTS + "00" * 48,  # nobody's account
    "0x1234",
]
PAGE = 256
"""keys asked for at once"""


@dataclass(frozen=True)
class Client:
    """A client, as the table calls it, and the account that pays for its checks."""

    name: str
    package: str
    payer: str
    cannot: dict[str, str] = field(default_factory=dict)
    """check -> why this client cannot make it"""


LEGACY_ONLY = "speaks the legacy methods only"
CLIENTS = {
    "psi": Client("py-substrate-interface", "substrate-interface 1.8.1", "//Bob", {"v1_groups": LEGACY_ONLY}),
    "asi": Client(
        "async-substrate-interface",
        "async-substrate-interface 2.2.1",
        "//Charlie",
        {"v1_groups": LEGACY_ONLY},
    ),
    "pjs": Client("@polkadot/api", "@polkadot/api 16.5.6", "//Dave", {"v1_groups": LEGACY_ONLY}),
    "papi": Client(
        "polkadot-api",
        "polkadot-api 2.2.2",
        "//Eve",
        {"unwatch": "watches no status: it broadcasts, then looks into the blocks itself"},
    ),
}
LIMITS = {
    ("psi", "transfers"): "without ecdsa, which it signs as Ethereum does",
    ("asi", "subscriptions"): "without storage: its `subscribe_storage` ends in a TypeError of its own",
    ("asi", "multisig"): "composed by hand: its `create_multisig_extrinsic` fails before the first approval",
    (
        "papi",
        "accounts",
    ): "has no page size: the node pages (`chainHead_v1_continue`, `archive_v1_storage`)",
    ("papi", "replacement"): "is told `Stale` by its own validation: the v1 group has no `usurped`",
    (
        "papi",
        "mortality",
    ): "does not decode a signed extension: era and mode are read by py-substrate-interface",
    ("papi", "in_flight"): "over two connections: one broadcasts 16 at most, as Substrate has it",
    ("psi", "runtime_apis"): "nonce and version only: V14 describes no runtime APIs",
}
"""(client, check) -> what of the check the client cannot, or does in another way"""


@dataclass
class Facts:
    """What the node says itself, over plain JSON-RPC, of the block that all clients read and of others."""

    node: NodeProcess
    at: str
    interface: SubstrateInterface
    """the test's own, for what metadata says"""
    bodies: dict[int, list[str]] = field(default_factory=dict)
    """height -> the hashes of its extrinsics, as far as they have been asked for"""
    client: str = ""

    def keys(self, prefix: str) -> list[str]:
        """Return every key under a prefix at the block that is read."""
        found: list[str] = []
        while page := self.node.rpc(
            "state_getKeysPaged", prefix, PAGE, found[-1] if found else None, self.at
        ):
            found += page
        return found

    def free(self, who: str, block: str) -> int:
        """Return an account's free balance, cut out of the stored bytes."""
        account = Keypair.create_from_uri(who).public_key
        key = ACCOUNTS + blake2b(account, digest_size=16).hexdigest() + account.hex()
        stored = bytes.fromhex(self.node.rpc("state_getStorage", key, block)[2:])
        return int.from_bytes(stored[16:32], "little")

    def body(self, number: int) -> list[str]:
        """Return the hashes of a block's extrinsics."""
        if number not in self.bodies:
            block = self.node.rpc("chain_getBlock", self.node.rpc("chain_getBlockHash", number))["block"]
            extrinsics = [bytes.fromhex(each[2:]) for each in block["extrinsics"]]
            self.bodies[number] = ["0x" + digest(each).hex() for each in extrinsics]
        return self.bodies[number]

    def order_of(self, extrinsics: list[str]) -> list[str]:
        """Return those of these extrinsics, by hash, that the chain has, in its order."""
        wanted = set(extrinsics)
        blocks = range(self.node.number(self.at), self.node.number() + 1)
        return [each for number in blocks for each in self.body(number) if each in wanted]


def connect(found: Any, facts: Facts) -> None:
    """Connect, and read the chain's name, properties, version and metadata."""
    assert found == {
        "chain": "Assay Development",
        "prefix": PREFIX,
        "decimals": 12,
        "symbol": "ASY",
        "spec": "assay",
        "metadata": 14 if facts.client == "psi" else 15,
    }


def storage(found: Any, facts: Facts) -> None:
    """Read every value and every entry of every map of every pallet at an old block, and decode it."""
    expected = {}
    for pallet in facts.interface.get_metadata(facts.at).pallets:
        for item in pallet.storage or []:
            if not item.name.startswith(":"):
                key = facts.interface.generate_storage_hash(pallet.value["storage"]["prefix"], item.name)
                is_plain = "Plain" in item.value["type"]
                expected[f"{pallet.name}.{item.name}"] = 1 if is_plain else len(facts.keys(key))
    assert found == expected
    assert len(found) > 80
    furnished = ("Multisig.Multisigs", "Proxy.Proxies", "Proxy.Announcements", "System.Account")
    assert [name for name in furnished if not found[name]] == []


def constants(found: Any, facts: Facts) -> None:
    """Read every constant of every pallet."""
    facts.interface.init_runtime(facts.at)
    read = {
        f"{pallet.name}.{constant.name}": facts.interface.get_constant(pallet.name, constant.name).value
        for pallet in facts.interface.metadata.pallets
        for constant in pallet.constants or []
    }
    assert found == {name: str(value) if type(value) is int else None for name, value in read.items()}
    assert found["Babe.ExpectedBlockTime"] == str(SLOT_MS)
    assert found["System.BlockHashCount"] == "4096"
    assert found["System.SS58Prefix"] == str(PREFIX)


def accounts(found: Any, facts: Facts) -> None:
    """Iterate a map page by page: all accounts, in the order of their keys; they hold the total issuance."""
    assert found["listed"] == [ss58_encode(key[-64:], PREFIX) for key in facts.keys(ACCOUNTS)]
    assert found["sum"] == found["issuance"]


def old_blocks(found: Any, facts: Facts) -> None:
    """Read the header, body, events and state of the first blocks."""
    hashes = [facts.node.rpc("chain_getBlockHash", number) for number in range(3)]
    payer = CLIENTS[facts.client].payer
    inherents = ["timestamp.set", "grandpa.notefinality"]  # the second where block 1 was final in time
    assert [each.replace("_", "").lower() for each in found["calls"]] in (inherents[:1], inherents)
    assert found == {
        "free": [str(facts.free(payer, block)) for block in hashes],
        "hashes": hashes,
        "numbers": [0, 1, 2],
        "calls": found["calls"],
        "parent": hashes[1],
        "event": "System.ExtrinsicSuccess",
    }


def fees(found: Any, facts: Facts) -> None:
    """Estimate a fee; asked at the block before, estimate and tip are what is paid, to the planck."""
    fee = {name: int(found[name]) for name in ("guess", "estimate", "tip", "paid", "lost")}
    assert fee["paid"] == fee["lost"] == fee["estimate"] + fee["tip"]
    assert fee["estimate"] == sum(int(part) for part in found["parts"])
    assert fee["tip"] == 7
    assert abs(fee["guess"] - fee["estimate"]) < fee["estimate"] // 1000  # a fuller block makes weight dearer


def transfers(found: Any, facts: Facts) -> None:
    """Send transfers signed by sr25519, ed25519 and ecdsa."""
    schemes = ["sr25519", "ed25519"] if facts.client == "psi" else ["sr25519", "ed25519", "ecdsa"]
    assert found == {scheme: [True, GIFT] for scheme in schemes}


def mortality(found: Any, facts: Facts) -> None:
    """Send a mortal transaction without metadata hash (mode 0); one of a past era is refused."""
    if facts.client == "papi":
        block, index = found.pop("sent")
        sent = facts.interface.get_block(block)["extrinsics"][index].value
        found |= {"period": sent["era"][0], "mode": sent["mode"]}
    dead = found.pop("dead")
    assert found == {"success": True, "period": 16, "mode": "Disabled"}
    reasons = ("Transaction has a bad signature", "Transaction has an ancient birth block")
    assert dead in [invalid(reason) for reason in reasons]  # the latter where the era begins again right now


def in_flight(found: Any, facts: Facts) -> None:
    """Submit 20 transactions of one account, the last nonce first; all arrive, in order."""
    assert len(found) == len(set(found)) == 20
    assert facts.order_of(found) == found


def batches(found: Any, facts: Facts) -> None:
    """Send a batch that stops at a failing item, and a batch_all that undoes everything."""
    stopped = {"success": True, "done": 1, "stopped": [1, "FundsUnavailable"], "error": None}
    undone = {"success": False, "done": 0, "stopped": None, "error": "FundsUnavailable"}
    assert found == {"batch": stopped | {"received": GIFT}, "batch_all": undone | {"received": GIFT}}


def failure(found: Any, facts: Facts) -> None:
    """Send a call that fails: the error has its pallet's name, the fee is paid."""
    assert found == {"success": False, "error": "Sudo.RequireSudo", "charged": True}


def replacement(found: Any, facts: Facts) -> None:
    """Replace a waiting transaction by a higher tip; whoever watched the old one is told."""
    same = {"code": 1013, "message": "Transaction Already Imported", "data": found["new"]}
    told = (
        {"old": ["stale"], "filled": True}
        if facts.client == "papi"
        else {"old": ["usurped"], "by": found["new"]}
    )
    assert found == {"new": found["new"], "same": same, "lower": [1014, "Priority is too low"], **told}
    assert facts.order_of([found["new"]]) == [found["new"]]


def refusals(found: Any, facts: Facts) -> None:
    """Be refused for a bad signature, a stale nonce, no money, and for asking again, in Substrate's words."""
    if facts.client == "papi":
        assert found.pop("verdicts") == ["BadProof", "Stale", "Payment"]
    assert found == {
        "bad_signature": invalid("Transaction has a bad signature"),
        "stale": invalid("Transaction is outdated"),
        "again": {"code": 1012, "message": "Transaction is temporarily banned"},
        "no_money": invalid("Inability to pay some fees (e.g. account balance too low)"),
    }


def invalid(why: str) -> dict[str, Any]:
    """Return the error object of a transaction that is invalid."""
    return {"code": 1010, "message": "Invalid Transaction", "data": why}


def unwatch(found: Any, facts: Facts) -> None:
    """Watch a transaction until it is final; to end that subscription then is no error."""
    assert found["statuses"] == ["ready", "inBlock", "finalized"]
    assert found["answer"] in (True, False)


def subscriptions(found: Any, facts: Facts) -> None:
    """Be told of new heads, final heads and changed storage, one by one."""
    wanted = {"heads", "finalized"} if facts.client == "asi" else {"heads", "finalized", "storage"}
    assert set(found) == wanted
    for heights in found.values():
        assert heights == list(range(heights[0], heights[0] + 3))


def headers(found: Any, facts: Facts) -> None:
    """Compute the hash of a header: it is the block's."""
    numbers = [0, 1, 2, facts.node.number(facts.at)]
    assert found == {str(number): facts.node.rpc("chain_getBlockHash", number) for number in numbers}


def bodies(found: Any, facts: Facts) -> None:
    """Read a body: its extrinsics have the root in the header, by a naive trie."""
    extrinsics = [bytes.fromhex(each[2:]) for each in found["extrinsics"]]
    assert len(extrinsics) > 2
    assert "0x" + ordered_root(extrinsics).hex() == found["root"]
    assert found["root"] == facts.node.rpc("chain_getHeader", facts.at)["extrinsicsRoot"]


def proofs(found: Any, facts: Facts) -> None:
    """Ask for a read proof: it shows values and absence under the state root, to an independent verifier."""
    if facts.client == "papi":
        assert found["verified"] is True
    assert found["at"] == facts.at
    state_root = bytes.fromhex(facts.node.rpc("chain_getHeader", facts.at)["stateRoot"][2:])
    parts = [bytes.fromhex(part[2:]) for part in found["proof"]]
    shown = [proven(state_root, parts, bytes.fromhex(key[2:])) for key in PROOF_KEYS]
    stored = [facts.node.rpc("state_getStorage", key, facts.at) for key in PROOF_KEYS]
    assert [value and "0x" + value.hex() for value in shown] == stored
    assert [value is None for value in stored] == [False, False, False, True, True]


SUBNET = [
    "Training",
    [0, "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"],
    [1, "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"],
]
"""Its kind, and uid and hotkey of each neuron."""
REFUSAL = ["Neurons", "AlreadyRegistered", "AlreadyRegistered"]
"""What registering a neuron's hotkey again is refused with: in words, and by the metadata."""


def runtime_apis(found: Any, facts: Facts) -> None:
    """Call runtime APIs; from V15 on by what the metadata says of them."""
    state, pool = found.pop("nonces")
    assert state == pool > 0
    described = {
        "versions": [14, 15],
        "epoch": [20, 1],
        "class": "Normal",
        "keys": None,
        "validity": {"Err": {"Invalid": "Call"}},
    }
    ours = {"spec": "assay", "subnet": SUBNET, "refusal": REFUSAL}
    assert found == ours | ({} if facts.client == "psi" else described)


def multisig(found: Any, facts: Facts) -> None:
    """Pay from an account of which two of three sign."""
    assert found == {"waiting": [1, 0], "received": GIFT}


def proxy(found: Any, facts: Facts) -> None:
    """Act for another account by a proxy that may not transfer."""
    assert found == {"outcomes": ["Ok", "Err"], "left": [0, "0"]}


def v1_groups(found: Any, facts: Facts) -> None:
    """Do all of that over the v1 groups of methods alone."""
    assert found == {"legacy": [], "groups": ["archive", "chainHead", "chainSpec", "transaction"]}


CHECKS: dict[str, Callable[[Any, Facts], None]] = {
    check.__name__: check
    for check in (
        connect,
        storage,
        constants,
        accounts,
        old_blocks,
        headers,
        bodies,
        proofs,
        runtime_apis,
        subscriptions,
        fees,
        transfers,
        mortality,
        in_flight,
        batches,
        failure,
        replacement,
        refusals,
        unwatch,
        multisig,
        proxy,
        v1_groups,
    )
}


def made_by(client: str) -> list[str]:
    """Return the checks a client makes."""
    return [name for name in CHECKS if name not in CLIENTS[client].cannot]


def table() -> str:
    """Return the matrix as a table for people."""
    lines = [
        "| check | what it proves | " + " | ".join(each.package for each in CLIENTS.values()) + " |",
        "|---|---|" + "---|" * len(CLIENTS),
    ]
    notes: list[str] = []
    for name, check in CHECKS.items():
        cells = [_cell(client, name, notes) for client in CLIENTS]
        lines.append(f"| `{name}` | {(check.__doc__ or '').splitlines()[0]} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *notes])


def _cell(client: str, check: str, notes: list[str]) -> str:
    reason = CLIENTS[client].cannot.get(check)
    limit = LIMITS.get((client, check))
    if reason is None and limit is None:
        return "yes"
    line = f"{CLIENTS[client].name}: {reason or limit}"
    known = [each.split(". ", 1)[1] for each in notes]
    if line not in known:
        notes.append(f"{len(notes) + 1}. {line}")
        known.append(line)
    number = known.index(line) + 1
    return f"no ({number})" if reason else f"yes ({number})"
