"""The chainSpec_v1 namespace. Source: paritytech/json-rpc-interface-spec, chainSpec."""

from chain.rpc.dispatch import Handler
from chain.rpc.methods import archive, system

METHODS: dict[str, Handler] = {
    "chainSpec_v1_chainName": system.chain,
    "chainSpec_v1_genesisHash": archive.genesis_hash,
    "chainSpec_v1_properties": system.properties,
}
