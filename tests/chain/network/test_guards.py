"""Whole nodes whose guard is lost, old or doubled, on a chain where keys matter: nobody ever signs twice."""

import pytest

from chain.consensus.guard import Guard
from chain.consensus.slots import pre_digest_slot
from chain.keys.pair import Keypair
from chain.node import Node
from runtime.primitives.babe import pre_digest_of
from runtime.primitives.grandpa import Message
from runtime.primitives.types import Hash
from tests.chain.network.lab import Lab, play
from tests.sim.env import Life, SimDisk
from tests.sim.genesis import SESSION_SLOTS, session_pair

FOUR = ("a", "b", "c", "d")
SILENCE = 2 * SESSION_SLOTS
KEY = session_pair("v3").public


@pytest.fixture(autouse=True)
def signed(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[object, ...], bytes]:
    """Write down every signature of every guard, by what may be signed once."""
    found: dict[tuple[object, ...], bytes] = {}
    sign_seal, sign_vote = Guard.sign_seal, Guard.sign_vote

    def seal(guard: Guard, pair: Keypair, slot: int, pre_hash: Hash) -> bytes:
        signature = sign_seal(guard, pair, slot, pre_hash)
        assert found.setdefault((pair.public, slot), signature) == signature, "two blocks of a slot"
        return signature

    def vote(guard: Guard, pair: Keypair, message: Message, round_: int, set_id: int) -> bytes:
        signature = sign_vote(guard, pair, message, round_, set_id)
        once = pair.public, type(message), round_, set_id
        assert found.setdefault(once, signature) == signature, "two votes of a round"
        return signature

    monkeypatch.setattr(Guard, "sign_seal", seal)
    monkeypatch.setattr(Guard, "sign_vote", vote)
    return found


def open_guard(lab: Lab, name: str) -> Guard:
    """Open the guard of a node that stands still."""
    return Guard.open(SimDisk(lab.files[name]["guard"], Life()))


def start_all(lab: Lab) -> list[Node]:
    """Start four validators whose records were born with their keys."""
    for index, name in enumerate(FOUR):
        guard, public = open_guard(lab, name), session_pair(f"v{index}").public
        guard.admit_author(public)
        guard.admit_voter(public)
        guard.close()
    return [lab.start(name, f"v{index}") for index, name in enumerate(FOUR)]


def slots_of_v3(node: Node, first: int) -> list[int]:
    """Return the slots of which //v3 has authored blocks on the best chain, from a height on."""
    epoch, _, _ = node.executor.current_epoch(node.store.state_at(node.store.best))
    blocks = [node.store.hash_at(number) for number in range(first, node.store.best_number + 1)]
    headers = [node.store.header(block) for block in blocks if block is not None]
    digests = [pre_digest_of(header) for header in headers if header is not None]
    return [digest.slot for digest in digests if digest.authority_index == epoch.index_of(KEY)]


def test_a_twin_keeps_a_new_guard_silent_until_it_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    async def script(lab: Lab) -> None:
        first, *_ = start_all(lab)
        await lab.until(lambda: first.store.finalized_number >= 5)
        guard = open_guard(lab, "e")  # the operator has run `assay init-guard`, and forgotten node d
        guard.begin_silence([KEY], [KEY], SILENCE)
        guard.close()
        twin = lab.start("e", "v3")
        height = first.store.best_number
        await lab.until(lambda: first.store.best_number >= height + SILENCE + 8)
        assert twin._guard.silence(KEY) is not None
        assert f"👥 Another node signs with key 0x{KEY.hex()}" in caplog.text
        await lab.stop("d")
        await lab.until(lambda: twin._guard.silence(KEY) is None, 3 * SILENCE * 2)
        height = first.store.best_number
        await lab.until(lambda: bool(slots_of_v3(first, height + 1)))
        await lab.until(lambda: first.store.finalized_number > height)
        last = twin._guard.last_vote(KEY)
        assert last is not None
        assert last.payload, "it votes again, too"

    play(script, (*FOUR, "e"), validators=4, chain_type="Live")
    assert not [message for message in caplog.messages if message.startswith("⚖️")]


@pytest.mark.parametrize("whole", [False, True], ids=["guard", "disk"])
def test_an_old_copy_put_back_is_found_out(whole: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Either the guard alone, or with the database and the votes: the whole machine is a week old."""

    async def script(lab: Lab) -> None:
        first, *_ = start_all(lab)
        await lab.until(lambda: first.store.finalized_number >= 5)
        kept = ("guard", "grandpa") if whole else ("guard",)
        files = {name: lab.files["d"][name].copy() for name in kept}
        tables = lab.tables["d"].copy()
        height = first.store.best_number
        await lab.until(lambda: first.store.best_number >= height + 12)
        await lab.stop("d")
        for name, content in files.items():
            lab.files["d"][name].content = dict(content)
        if whole:
            lab.tables["d"] = tables
        restored = lab.start("d", "v3")
        await lab.until(lambda: restored._guard.stale, 30)
        height = first.store.best_number
        await lab.until(lambda: first.store.finalized_number >= height + 10)
        assert restored.store.finalized_number >= height + 8, "it follows the chain all the same"
        assert slots_of_v3(first, height + 1) == []

    play(script, FOUR, validators=4, chain_type="Live")
    assert sum("of which guard.db knows nothing" in message for message in caplog.messages) == 1


def test_a_lost_guard_wakes_after_two_sessions(caplog: pytest.LogCaptureFixture) -> None:
    async def script(lab: Lab) -> None:
        first, *_ = start_all(lab)
        await lab.until(lambda: first.store.finalized_number >= 5)
        await lab.stop("d")
        lab.files["d"]["guard"].content.clear()
        silent = lab.start("d", "v3")
        await lab.until(lambda: any("no record of BABE key" in message for message in caplog.messages))
        await lab.stop("d")
        guard = open_guard(lab, "d")
        guard.begin_silence([KEY], [KEY], SILENCE)
        guard.close()
        began = first.store.best_number
        silent = lab.start("d", "v3")
        await lab.until(lambda: silent._guard.silence(KEY) is None)
        await lab.until(lambda: bool(slots_of_v3(first, began + 1)))
        header = first.store.header(first.store.hash_at(began) or Hash(bytes(32)))
        assert header is not None
        assert slots_of_v3(first, began + 1)[0] - pre_digest_slot(header) >= SILENCE

    play(script, FOUR, validators=4, chain_type="Live")
    assert not [message for message in caplog.messages if message.startswith(("👥", "💔", "⚖️"))]
