// What an operator asks of a node, decoded by the real @polkadot/api; prints one JSON object.
//   node operator.js ws://127.0.0.1:9944
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';

const hex = (bytes) => `0x${Buffer.from(bytes).toString('hex')}`;

async function main(url) {
  const api = await ApiPromise.create({ provider: new WsProvider(url), noInitWarn: true });
  const { author, babe, grandpa, state, system, childstate } = api.rpc;
  const found = {};

  const round = await grandpa.roundState();
  found.round = [round.setId.toNumber() >= 0, round.best.thresholdWeight.toNumber(), round.best.prevotes.missing.size];
  const proof = await grandpa.proveFinality(1);
  found.proof = proof.isSome && proof.unwrap().length > 100;
  found.justification = await new Promise((resolve) => {
    grandpa.subscribeJustifications((told) => resolve(told.length > 100));
  });

  const keys = await author.rotateKeys();
  found.rotated = [keys.length, (await author.hasSessionKeys(keys)).isTrue];
  const eve = hex(new Keyring({ type: 'ed25519' }).addFromUri('//Eve').publicKey);
  await author.insertKey('babe', '//Eve', eve);
  found.inserted = [(await author.hasKey(eve, 'babe')).isTrue, (await author.hasKey(eve, 'gran')).isTrue];

  const slots = [...(await babe.epochAuthorship()).entries()];
  found.slots = slots.map(([who, mine]) => [who.toString(), mine.primary.length + mine.secondary_vrf.length]);

  found.peerId = (await system.localPeerId()).toString().slice(0, 8);
  found.nodeRoles = (await system.nodeRoles()).map(String);
  found.chainType = (await system.chainType()).toString();
  found.peers = [(await system.peers()).length, (await system.localListenAddresses()).length];
  found.synced = (await system.syncState()).currentBlock.toNumber() > 2;
  await system.addLogFilter('sync=warn');
  await system.resetLogFilter();

  const bob = new Keyring({ type: 'sr25519' }).addFromUri('//Bob');
  const transfer = api.tx.balances.transferKeepAlive(bob.address, 1);
  const applied = await (await transfer.signAsync(bob)).dryRun(bob);
  found.dryRun = [applied.isOk, applied.isOk && applied.asOk.isOk];
  const refused = await api.tx.sudo.sudo(api.tx.system.remark('0x')).dryRun(bob);
  found.refused = refused.asOk.asErr.isModule && api.registry.findMetaError(refused.asOk.asErr.asModule).name;

  const number = api.query.system.number.key();
  const hash = await api.rpc.chain.getBlockHash(2);
  const sets = await state.queryStorage([number], await api.rpc.chain.getBlockHash(1), hash);
  found.numbers = sets.map(([, [value]]) => value.toU8a(true)[0]);
  found.pairs = (await state.getPairs(number)).map(([key]) => key.toHex() === number);
  const child = hex(':child_storage:default:x');
  found.child = (await childstate.getKeys(child, '0x')).length;

  await api.disconnect();
  return found;
}

main(process.argv[2]).then(
  (found) => console.log(JSON.stringify(found)),
  (problem) => {
    console.error(problem);
    process.exit(1);
  },
);
