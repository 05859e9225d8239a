"""The system_ namespace: what the node says of itself, and nonces."""

from chain.common.errors import PeerArgumentError
from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import BAD_PEER, Json, RpcError, invalid_params
from chain.rpc.params import Params
from chain.rpc.shapes import to_hex
from chain.telemetry import logs


async def chain(node: Backend, params: Params) -> Json:
    """Return the name of the chain."""
    return node.info.chain


async def name(node: Backend, params: Params) -> Json:
    """Return the name of the implementation."""
    return node.info.node_name


async def version(node: Backend, params: Params) -> Json:
    """Return the version of the implementation."""
    return node.info.node_version


async def properties(node: Backend, params: Params) -> Json:
    """Return address prefix, decimals and symbol of the token."""
    return node.info.properties


async def chain_type(node: Backend, params: Params) -> Json:
    """Return Development, Local or Live."""
    return node.info.chain_type


async def node_roles(node: Backend, params: Params) -> Json:
    """Return what the node does for the network."""
    return list(node.info.roles)


async def health(node: Backend, params: Params) -> Json:
    """Return the number of peers and whether the node is syncing."""
    return health_json(node)


async def sync_state(node: Backend, params: Params) -> Json:
    """Return where syncing began, where it is, and how far it has to go."""
    now, best = node.health(), node.header(node.blocks.best).number
    highest = best if now.highest_block is None else now.highest_block
    return {"startingBlock": now.starting_block, "currentBlock": best, "highestBlock": highest}


async def peers(node: Backend, params: Params) -> Json:
    """Return the peers and where each stands."""
    return [
        {
            "peerId": each.peer_id,
            "roles": each.roles,
            "bestHash": to_hex(each.best_hash),
            "bestNumber": each.best_number,
        }
        for each in node.peers()
    ]


async def reserved_peers(node: Backend, params: Params) -> Json:
    """Return the peer ids of the reserved peers, connected or not."""
    return list(node.operator.reserved_peers())


async def add_reserved_peer(node: Backend, params: Params) -> Json:
    """Reserve the peer at an address, /ip4/192.0.2.1/tcp/30333/p2p/12D3KooW…, until the node stops."""
    try:
        node.operator.add_reserved_peer(params.text(0, "peer"))
    except PeerArgumentError as problem:
        raise RpcError(BAD_PEER, str(problem)) from problem
    return None


async def remove_reserved_peer(node: Backend, params: Params) -> Json:
    """Reserve a peer, named by its peer id, no more."""
    try:
        node.operator.remove_reserved_peer(params.text(0, "peerId"))
    except PeerArgumentError as problem:
        raise RpcError(BAD_PEER, str(problem)) from problem
    return None


async def listen_addresses(node: Backend, params: Params) -> Json:
    """Return where other nodes can reach this one."""
    return list(node.operator.listen_addresses())


async def local_peer_id(node: Backend, params: Params) -> Json:
    """Return the node's name among peers."""
    return node.operator.peer_id


async def dry_run(node: Backend, params: Params) -> Json:
    """Return what applying an extrinsic in the next block leads to, an ApplyExtrinsicResult in hex."""
    extrinsic, block = params.hex(0, "extrinsic"), params.optional_hash(1, "at") or node.blocks.best
    return to_hex(node.runtime.dry_run(node.state(block), node.header(block), extrinsic))


async def add_log_filter(node: Backend, params: Params) -> Json:
    """Add log levels, as `-l` takes them, to those in force."""
    try:
        logs.add(params.text(0, "directives"))
    except logs.LogSpecError as problem:
        raise invalid_params(str(problem)) from problem
    return None


async def reset_log_filter(node: Backend, params: Params) -> Json:
    """Return to the log levels the node was started with."""
    logs.reset()
    return None


async def account_next_index(node: Backend, params: Params) -> Json:
    """Return the next nonce of an account, the ready transactions of the pool counted."""
    return node.pool.next_index(params.account(0, "account"))


def health_json(node: Backend) -> dict[str, Json]:
    """Return the node's health as `GET /health` shows it too."""
    now = node.health()
    return {"peers": now.peers, "isSyncing": now.is_syncing, "shouldHavePeers": now.should_have_peers}


METHODS: dict[str, Handler] = {
    "system_chain": chain,
    "system_name": name,
    "system_version": version,
    "system_properties": properties,
    "system_chainType": chain_type,
    "system_nodeRoles": node_roles,
    "system_health": health,
    "system_syncState": sync_state,
    "system_localPeerId": local_peer_id,
    "system_localListenAddresses": listen_addresses,
    "system_peers": peers,
    "system_reservedPeers": reserved_peers,
    "system_addReservedPeer": add_reserved_peer,
    "system_removeReservedPeer": remove_reserved_peer,
    "system_dryRun": dry_run,
    "system_dryRunAt": dry_run,
    "system_addLogFilter": add_log_filter,
    "system_resetLogFilter": reset_log_filter,
    "system_accountNextIndex": account_next_index,
    "account_nextIndex": account_next_index,
}
