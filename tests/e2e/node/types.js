// Decode samples with the types that @polkadot/types finds in metadata, and encode them again.
//   node types.js < QUESTION      prints {version, types, values, signed}
// QUESTION: {metadata: hex, samples: [[where, hex], ...], signed: [{...}, ...]}, where as in
// tests/differential/samples.py, signed as in tests/differential/test_extrinsics.py.
import { readFileSync } from 'node:fs';
import { GenericExtrinsicPayload, Metadata, TypeRegistry } from '@polkadot/types';
import { hexToU8a, u8aToHex } from '@polkadot/util';

const find = (listed, name) => listed.find((each) => each.name.toString() === name);

/** Return the type of a place, as this library names it. */
function typeAt(registry, latest, [kind, owner, name, position]) {
  const lookup = (id) => registry.createLookupType(id);
  const pallet = () => find(latest.pallets, owner);
  const entry = () => find(pallet().storage.unwrap().items, name).type;
  const method = () => find(find(latest.apis, owner).methods, name);
  switch (kind) {
    case 'header':
      return 'Header';
    case 'call':
      return 'Call';
    case 'events':
      return lookup(find(find(latest.pallets, 'System').storage.unwrap().items, 'Events').type.asPlain);
    case 'storage':
      return lookup(entry().isPlain ? entry().asPlain : entry().asMap.value);
    case 'key':
      return lookup(entry().asMap.key);
    case 'constant':
      return lookup(find(pallet().constants, name).type);
    case 'input':
      return lookup(method().inputs[position].type);
    case 'output':
      return lookup(method().output);
    default:
      throw new Error(`no place of kind ${kind}`);
  }
}

/** Return what of a signed extrinsic is signed, how it is written, and how ours is read. */
function sign(registry, { call, signer, signature, extrinsic, ...signing }) {
  const method = registry.createType('Call', hexToU8a(call));
  const payload = new GenericExtrinsicPayload(registry, { ...signing, method: method.toHex() }, { version: 4 });
  const bytes = payload.toU8a({ method: true });
  const written = registry.createType('Extrinsic', { method }, { version: 4 });
  written.addSignature(hexToU8a(signer), hexToU8a(signature), payload.toU8a());
  const read = registry.createType('Extrinsic', hexToU8a(extrinsic));
  return {
    payload: u8aToHex(bytes.length > 256 ? registry.hash(bytes) : bytes),
    written: u8aToHex(written.toU8a()),
    again: u8aToHex(read.toU8a()),
    hash: read.hash.toHex(),
    tip: read.tip.toString(),
    nonce: read.nonce.toNumber(),
    signer: read.signer.toString(),
  };
}

function main({ metadata, samples, signed = [] }) {
  const registry = new TypeRegistry();
  const read = new Metadata(registry, metadata);
  registry.setMetadata(read, undefined, undefined, true);
  read.getUniqTypes(true); // throws where a type is not known
  const types = read.asLatest.lookup.types.map(({ id }) => {
    registry.createClassUnsafe(registry.createLookupType(id));
    return id.toNumber();
  });
  const latest = read.asLatest;
  const values = samples.map(([where, hex]) => {
    const value = registry.createTypeUnsafe(typeAt(registry, latest, where), [hexToU8a(hex)]);
    return { again: u8aToHex(value.toU8a()), means: value.toHuman(), ...(where[0] === 'header' ? { hash: value.hash.toHex() } : {}) };
  });
  return { version: read.version, types, values, signed: signed.map((each) => sign(registry, each)) };
}

console.log(JSON.stringify(main(JSON.parse(readFileSync(0, 'utf8')))));
