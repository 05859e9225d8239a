"""Every attack by name; test_rude_clients.py makes them briefly, bench/hostile.py at length and measured."""

from tests.e2e import attacks_chain as chain
from tests.e2e import attacks_wire as wire
from tests.e2e.field import Attack

ATTACKS: dict[str, Attack] = {
    each.__name__: each
    for each in (
        wire.slow_loris, wire.half_open, wire.connection_flood, wire.websocket_crowd, wire.giant_batches,
        wire.json_bombs, wire.odd_requests, wire.large_extrinsics, wire.odd_frames, wire.deaf_posts,
        wire.unfinished_uploads, chain.too_many_subscriptions, chain.deaf_subscribers, chain.strangers_ids,
        chain.follow_flood, chain.pauper_flood, chain.rich_flood, chain.tip_ping_pong, chain.costly_calls,
        chain.rpc_flood,
    )
}  # fmt: skip
