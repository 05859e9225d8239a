"""What a network of voters is put through: Broken is a broken rule, Stuck a finality that stays away."""

import random
from collections.abc import Callable
from typing import Any

from chain.consensus.grandpa.messages import CommitMessage
from runtime.primitives.grandpa import Commit, Precommit, Prevote, SignedPrecommit
from tests.chain.consensus.grandpa.network import GENESIS, Network, Peer

SETTLED = 90.0
"""seconds after all faults are over in which finality must have come back"""
CALM = 20.0
"""seconds for which the network goes on in any case, so that late damage shows"""
BLOCK_EVERY = 2.0
"""seconds"""


class Stuck(AssertionError):
    """Finality does not follow the best chain though nothing hinders it any more."""


def storm(seed: int, **options: Any) -> Network:
    """Partitions, loss, crashes and twins on both sides for about 70 s, then peace."""
    rng = random.Random(seed)
    count = rng.choice((4, 5, 7))
    weights = [1] * count if rng.random() < 0.5 else [rng.randint(1, 5) for _ in range(count)]
    byzantine = rng.choice((0, most_byzantine(weights), most_byzantine(weights)))
    network = Network(seed, weights, byzantine=byzantine, loss=rng.choice((0, 0.1, 0.3)), **options).start()
    network.produce(BLOCK_EVERY, 180.0)
    while network.now < 70:
        network.run(network.now + rng.uniform(3, 15))
        fault = rng.random()
        if fault < 0.6:
            network.partition(*split(network, rng))
        elif fault < 0.8:
            network.partition()
        else:
            peer = rng.choice(network.peers)
            peer.crash()
            network.after(rng.uniform(1, 10), peer.start)
    settle(network)
    return network


def most_byzantine(weights: list[int]) -> int:
    """Return how many of the last voters may be byzantine."""
    count = 0
    while sum(weights[len(weights) - count - 1 :]) <= (sum(weights) - 1) // 3:
        count += 1
    return count


def split(network: Network, rng: random.Random) -> tuple[list[str], list[str]]:
    """Return two sides, with one of each pair of twins on either."""
    honest = [peer.name for peer in network.honest]
    rng.shuffle(honest)
    cut = rng.randint(1, len(honest) - 1)
    twins = [peer.name for peer in network.peers if not peer.honest]
    return honest[:cut] + twins[::2], honest[cut:] + twins[1::2]


def settle(network: Network) -> None:
    """End all faults; finality must be near the best block of everybody in time.

    Raises: Stuck.
    """
    network.partition()
    network.loss = network.crash_on_signing = 0
    for peer in network.peers:
        if not peer.up:
            peer.start()
    end = network.now + SETTLED
    network.run(network.now + CALM)
    while max(lags := [head(network) - peer.view.final[1] for peer in network.honest]) > 2:
        if network.now >= end:
            raise Stuck(f"seed {network.seed}: final blocks lie {lags} below the best")
        network.run(network.now + 1)


def head(network: Network) -> int:
    """Return the height of the best block of anybody honest."""
    return max(peer.view.best[1] for peer in network.honest)


def split_brain(**options: Any) -> Network:
    """Two of seven voters are twins; two honest ones on one side, three on the other, for 20 s."""
    network = Network(7, [1] * 7, byzantine=2, **options).start()
    network.produce(BLOCK_EVERY, 45.0)
    network.run(5)
    network.partition(["v0", "v1", "v5a", "v6a"], ["v2", "v3", "v4", "v5b", "v6b"])
    network.run(25)
    settle(network)
    return network


def even_split(**options: Any) -> Network:
    """Four honest voters, two on each side for half a minute: neither side may go on."""
    network = Network(3, [1] * 4, **options).start()
    network.produce(BLOCK_EVERY, 120.0)
    network.run(5)
    network.partition(["v0", "v1"], ["v2", "v3"])
    network.run(40)
    settle(network)
    return network


def hidden_finality(**options: Any) -> Network:
    """One voter has seen block X become final, nobody else knows; a longer chain without X then appears.

    Round 1: all prevote X. A and B precommit X; C saw a ghost at the base only and precommits that. The
    byzantine D shows its precommit for X to B alone, which finalises X. A and C must now hold on to X,
    although D and the best chain call for Y.
    """
    network = Network(1, [1] * 4, byzantine=1, loss=1.0, delay=(0.01, 0.02), **options)
    a, b, c = network.honest
    x, y = network.blocks.extend(GENESIS), network.blocks.extend(GENESIS, 2)
    for peer in (a, b, c):
        peer.start()
        peer.learn(x)
    network.run(0.7)
    say = speaker(network)
    say(Prevote, x, 1, [b, c], [a])
    say(Prevote, x, 1, [a, c], [b])
    say(Prevote, x, 1, [b], [c])
    say(Prevote, GENESIS, 1, ["D"], [c])
    network.run(1.4)
    say(Precommit, x, 1, ["D", a], [b])
    say(Precommit, x, 1, [b], [a])
    say(Precommit, GENESIS, 1, [c], [a])
    assert b.view.final == x
    say(Precommit, x, 1, [a, b], [c])
    say(Prevote, x, 1, [a], [c])
    network.partition(["v0", "v2"], ["v1"], ["v3a"], ["v3b"])
    network.loss = 0
    for peer in (a, c):
        peer.learn(y)
    for round_ in (2, 3, 4):
        say(Prevote, y, round_, ["D"], [a, c])
        say(Precommit, y, round_, ["D"], [a, c])
        network.run(network.now + 4)
    network.produce(BLOCK_EVERY, network.now + 120)
    settle(network)
    return network


def speaker(network: Network) -> Callable[..., None]:
    """Return what hands a vote of some voters to some peers, whatever the network loses."""

    def say(
        kind: type[Prevote] | type[Precommit],
        target: tuple[Any, int],
        round_: int,
        voters: list[Any],
        receivers: list[Peer],
    ) -> None:
        for voter in voters:
            public = network.keys[-1] if voter == "D" else voter.public
            if voter != "D":
                cast = network.cast.get((public, 0, round_, 2 if kind is Prevote else 3))
                assert cast == target, f"{voter.name} has cast {cast}"
            for receiver in receivers:
                vote = network.signed(public, kind(*target), round_, 0)
                receiver.receive("script", vote)

    return say


def crashes(**options: Any) -> Network:
    """Four honest voters that crash now and then between signing and saving, while the best chain changes."""
    network = Network(12, [1] * 4, crash_on_signing=0.08, loss=0.2, **options).start()
    network.produce(0.7, 150.0, forks=0.6)
    network.run(60)
    settle(network)
    return network


def set_changes(**options: Any) -> Network:
    """Voters change every fifth block; a cut leaves several changes to be made one after the other."""
    network = Network(5, [1] * 4, change_every=5, **options).start()
    network.produce(1.0, 100.0)
    network.run(8)
    network.partition(["v0", "v1"], ["v2", "v3"])
    network.run(25)
    settle(network)
    return network


def false_commit(**options: Any) -> Network:
    """A byzantine voter claims finality for a block of its own with its precommit alone."""
    network = Network(2, [1] * 4, byzantine=1, **options).start()
    network.produce(BLOCK_EVERY, 100.0)
    network.run(9.9)
    victim, liar = network.honest[0], network.keys[-1]
    fork = network.blocks.extend(victim.view.final, 3)
    victim.learn(fork)
    vote = network.signed(liar, Precommit(*fork), 1, 0).message
    lie = Commit(*fork, [SignedPrecommit(Precommit(*fork), vote.signature, liar)])
    victim.receive("liar", CommitMessage.of(1, 0, lie))
    network.run(20)
    settle(network)
    return network


SCHEDULES = (split_brain, even_split, hidden_finality, crashes, set_changes, false_commit)
"""written by hand, or with a seed that shows something"""
