"""Parts of a node that join its rooms: the chain as voters and authors read it, reports, recall."""
