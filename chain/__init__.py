"""The node: storage, consensus, import, pool, RPC, commands; and the client others use to talk to it."""
