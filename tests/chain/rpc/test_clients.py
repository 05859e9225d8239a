"""py-substrate-interface, unchanged, against the server: connect, ask, submit and watch."""

import asyncio

import pytest
from substrateinterface import SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException


@pytest.fixture
async def client(served):
    """A client over WebSocket; its calls block, so tests run them in a thread."""
    address = served.url.replace("http", "ws")
    interface = await asyncio.to_thread(SubstrateInterface, url=address, auto_discover=False)
    yield interface
    await asyncio.to_thread(interface.close)


async def test_it_connects_and_asks(served, client):
    block = served.node.grow({b"\1": b"x"})
    head = await asyncio.to_thread(client.get_chain_head)
    assert head == "0x" + block.hex()
    assert await asyncio.to_thread(lambda: client.chain) == "Assay Test"
    assert await asyncio.to_thread(client.get_block_hash, 0) == "0x" + served.node.genesis_hash.hex()
    assert await asyncio.to_thread(client.get_block_number, head) == 1
    assert await asyncio.to_thread(client.supports_rpc_method, "state_getStorageAt")
    assert await asyncio.to_thread(client.get_chain_finalised_head) == "0x" + served.node.genesis_hash.hex()
    version = await asyncio.to_thread(client.get_block_runtime_version, head)
    assert version["specVersion"] == 7


async def test_it_raises_on_errors(client):
    with pytest.raises(SubstrateRequestException, match="'code': 1010"):
        await asyncio.to_thread(client.rpc_request, "author_submitExtrinsic", ["0x04ff"])


async def test_it_watches_to_the_end_and_unsubscribes_inside_its_handler(served, client):
    def handler(message, update, subscription):
        if isinstance(message["params"]["result"], dict) and "finalized" in message["params"]["result"]:
            unwatched = client.rpc_request("author_unwatchExtrinsic", [subscription])
            return message["params"]["result"] | {"unwatched": unwatched["result"]}
        return None

    watching = asyncio.create_task(
        asyncio.to_thread(client.rpc_request, "author_submitAndWatchExtrinsic", ["0x0401"], handler)
    )
    await asyncio.wait_for(served.node.pool.was_asked_to_watch.wait(), 60)
    for status in ("ready", {"inBlock": "0xaa"}, {"finalized": "0xaa"}, None):
        served.node.pool.watched[b"\4\1"].queue.put_nowait(status)
    assert await asyncio.wait_for(watching, 60) == {"finalized": "0xaa", "unwatched": False}


async def test_it_works_over_http(served):
    interface = await asyncio.to_thread(SubstrateInterface, url=served.url, auto_discover=False)
    assert await asyncio.to_thread(lambda: interface.properties) == {
        "ss58Format": 42,
        "tokenDecimals": 12,
        "tokenSymbol": "ASY",
    }
    interface.transport.session.close()
