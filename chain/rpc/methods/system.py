"""The system_ namespace: what the node says of itself, and nonces."""

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json
from chain.rpc.params import Params


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


async def nothing(node: Backend, params: Params) -> Json:
    """Return the addresses listened on, or the peers: none, as long as the node has no network."""
    return []


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
    "system_localListenAddresses": nothing,
    "system_peers": nothing,
    "system_accountNextIndex": account_next_index,
    "account_nextIndex": account_next_index,
}
