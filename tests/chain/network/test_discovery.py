from tests.chain.network.neighbours import Neighbour, neighbours, until


def is_mesh(*nodes: Neighbour) -> bool:
    return all(node.is_with(*(other for other in nodes if other is not node)) for node in nodes)


async def test_who_knows_one_node_finds_the_others_through_it() -> None:
    async with neighbours() as start:
        a = await start("a")
        b = await start("b", known=(a.address,))
        await until(lambda: is_mesh(a, b))
        c = await start("c", known=(a.address,))
        await until(lambda: is_mesh(a, b, c))
        assert {entry.address for entry in c.transport.book.entries()} == {a.address, b.address}
