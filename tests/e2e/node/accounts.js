// Accounts that are more than one key, through the real @polkadot/api; prints one JSON object.
//   node accounts.js ws://127.0.0.1:9944
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';
import { createKeyMulti, encodeAddress, sortAddresses } from '@polkadot/util-crypto';

const UNIT = 10n ** 12n;

/** Send an extrinsic and return its receipt when it is in a block. */
function send(extrinsic, signer) {
  return new Promise((resolve, reject) => {
    extrinsic
      .signAndSend(signer, (receipt) => {
        if (receipt.isError) reject(new Error(receipt.status.type));
        if (receipt.isInBlock) resolve(receipt);
      })
      .catch(reject);
  });
}

/** Return the data of the last event of a kind. */
const last = (receipt, kind) => receipt.events.filter(({ event }) => kind.is(event)).at(-1).event.data;

async function main(url) {
  const api = await ApiPromise.create({ provider: new WsProvider(url), throwOnUnknown: true, noInitWarn: true });
  const keyring = new Keyring({ type: 'sr25519' });
  const [alice, bob, charlie] = ['//Alice', '//Bob', '//Charlie'].map((uri) => keyring.addFromUri(uri));
  const reserved = async () => (await api.query.system.account(alice.address)).data.reserved;
  const before = await reserved();
  const found = {};

  const ecdsa = new Keyring({ type: 'ecdsa' }).addFromUri('//Alice');
  await send(api.tx.balances.transferKeepAlive(ecdsa.address, 10n * UNIT), alice);
  await send(api.tx.system.remark('0x01'), ecdsa);
  found.ecdsa = { address: ecdsa.address, nonce: (await api.rpc.system.accountNextIndex(ecdsa.address)).toNumber() };

  const party = [alice, bob, charlie].map(({ address }) => address);
  const multi = encodeAddress(createKeyMulti(party, 2), 42);
  const others = (who) => sortAddresses(party.filter((each) => each !== who.address), 42);
  const weight = { refTime: 10n ** 9n, proofSize: 10_000 };
  const call = api.tx.balances.transferKeepAlive(ecdsa.address, UNIT);
  await send(api.tx.balances.transferKeepAlive(multi, 10n * UNIT), alice);
  await send(api.tx.multisig.approveAsMulti(2, others(alice), null, call.method.hash, weight), alice);
  const opened = (await api.query.multisig.multisigs(multi, call.method.hash)).unwrap();
  found.deposit = opened.deposit.eq(api.consts.multisig.depositBase.add(api.consts.multisig.depositFactor.muln(2)));
  const done = await send(api.tx.multisig.asMulti(2, others(bob), opened.when, call, weight), bob);
  found.multisig = last(done, api.events.multisig.MultisigExecuted).result.isOk;
  found.left = (await api.query.multisig.multisigs.entries()).length;

  await send(api.tx.proxy.addProxy(bob.address, 'NonTransfer', 0), alice);
  found.proxies = (await api.query.proxy.proxies(alice.address))[0].toHuman();
  const remark = await send(api.tx.proxy.proxy(alice.address, null, api.tx.system.remark('0x02')), bob);
  found.proxied = last(remark, api.events.proxy.ProxyExecuted).result.isOk;
  const filtered = await send(api.tx.proxy.proxy(alice.address, null, call), bob);
  const { section, name } = api.registry.findMetaError(
    last(filtered, api.events.proxy.ProxyExecuted).result.asErr.asModule,
  );
  found.filtered = `${section}.${name}`;
  await send(api.tx.proxy.removeProxies(), alice);
  found.returned = (await reserved()).eq(before);
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
