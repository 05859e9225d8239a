"""Memory that connections hold together, without connections."""

from chain.rpc.budget import Budget


class Peer:
    """A connection that can be cut."""

    def __init__(self):
        self.cut = 0

    def abort(self):
        self.cut += 1


def test_who_holds_most_is_cut_off_when_all_together_hold_too_much():
    budget, small, large = Budget(limit=100), Peer(), Peer()
    budget.add(small, 10)
    budget.add(large, 80)
    assert (small.cut, large.cut) == (0, 0)
    budget.add(small, 20)
    assert (small.cut, large.cut) == (0, 1)
    assert (budget.held(small), budget.held(large)) == (30, 0)


def test_a_client_alone_may_not_exceed_the_limit_either():
    budget, peer = Budget(limit=100), Peer()
    budget.add(peer, 101)
    assert (peer.cut, budget.held(peer)) == (1, 0)


def test_what_was_answered_counts_no_more():
    budget, peer = Budget(limit=100), Peer()
    for _ in range(50):
        budget.add(peer, 90)
        budget.drop(peer, 90)
    budget.add(peer, 60)
    budget.drop(peer, 20)
    assert (peer.cut, budget.held(peer)) == (0, 40)


def test_what_comes_late_from_a_connection_that_was_cut_changes_nothing():
    budget, gone, here = Budget(limit=100), Peer(), Peer()
    budget.add(gone, 101)
    budget.drop(gone, 101)
    budget.forget(gone)
    budget.add(here, 100)
    assert (here.cut, budget.held(here)) == (0, 100)
