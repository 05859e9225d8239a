// What a wallet does through the real polkadot-api (PAPI), over the v1 groups only; prints one JSON object.
//   node papi.js ws://127.0.0.1:9944
import { Keyring } from '@polkadot/api';
import { WebSocket } from '@polkadot/x-ws';
import { createClient, Enum } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import { getWsProvider } from 'polkadot-api/ws';

const UNIT = 10n ** 12n;

/** Return a provider that notes the name of every method the client calls. */
function observed(provider, called) {
  return (onMessage, onHalt) => {
    const connection = provider(onMessage, onHalt);
    return {
      ...connection,
      send: (message) => {
        called.add((typeof message === 'string' ? JSON.parse(message) : message).method);
        connection.send(message);
      },
    };
  };
}

/** Return the first value of an observable that a test accepts. */
function first(observable, accepts) {
  return new Promise((resolve, reject) => {
    const subscription = observable.subscribe({
      next: (value) => {
        if (!accepts(value)) return;
        resolve(value);
        queueMicrotask(() => subscription.unsubscribe());
      },
      error: reject,
    });
  });
}

/** Return every event of a watched transaction, ended by its finality. */
function watch(transaction, signer) {
  return new Promise((resolve, reject) => {
    const events = [];
    transaction.signSubmitAndWatch(signer).subscribe({
      next: (event) => events.push(event),
      error: reject,
      complete: () => resolve(events),
    });
  });
}

async function main(url) {
  const called = new Set();
  const client = createClient(observed(getWsProvider(url, { websocketClass: WebSocket }), called));
  const api = client.getUnsafeApi();
  const pair = (uri, type) => new Keyring({ type }).addFromUri(uri);
  const signerOf = (account) =>
    getPolkadotSigner(
      account.publicKey,
      account.type === 'sr25519' ? 'Sr25519' : 'Ed25519',
      (payload) => account.sign(payload),
    );
  const dave = pair('//Dave', 'sr25519');
  const fresh = pair(`//Papi//${Date.now()}`, 'ed25519');
  const give = (to, value) => api.tx.Balances.transfer_keep_alive({ dest: Enum('Id', to.address), value });

  const { name, properties, genesisHash } = await client.getChainSpecData();
  const found = { name, decimals: properties.tokenDecimals };
  found.deposit = (await api.constants.Balances.ExistentialDeposit()) > 0n;
  const start = await client.getFinalizedBlock();
  const before = (await api.query.System.Account.getValue(dave.address)).data.free;

  const events = await watch(give(fresh, 10n * UNIT), signerOf(dave));
  found.events = events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1]);
  const last = events.at(-1);
  found.ok = last.ok;
  const { data } = await api.query.System.Account.getValue(fresh.address);
  found.received = data.free.toString();
  const fee = last.events.find(({ type, value }) => type === 'TransactionPayment' && value.type === 'TransactionFeePaid');
  const after = (await api.query.System.Account.getValue(dave.address)).data.free;
  found.paid = before - after === 10n * UNIT + fee.value.value.actual_fee;
  found.mine = (await client.getBlockBody(last.block.hash)).length > last.block.index;

  const back = await give(dave, UNIT).signAndSubmit(signerOf(fresh));
  found.ed25519 = back.ok;
  const refused = await api.tx.Sudo.sudo({ call: api.tx.System.remark({ remark: new Uint8Array([1]) }).decodedCall })
    .signAndSubmit(signerOf(dave));
  found.failure = [refused.ok, refused.dispatchError.type, refused.dispatchError.value.type, refused.dispatchError.value.value.type];
  const poor = await give(fresh, UNIT ** 3n).signAndSubmit(signerOf(dave));
  found.token = poor.dispatchError.value.type;
  found.invalid = await give(dave, 1n).signAndSubmit(signerOf(dave), { nonce: 0 }).catch((problem) => problem.error?.value?.type ?? String(problem));

  const { entries } = await first(api.query.System.Account.watchEntries({ at: 'best' }), () => true);
  found.watched = entries.length > 5;
  const later = await first(client.finalizedBlock$, ({ number }) => number >= start.number + 4);
  found.finalized = later.number > start.number;
  found.entries = (await api.query.System.Account.getEntries()).length > 5;
  found.genesis = (await client.getBlockHeader(genesisHash)).number;
  const old = await api.query.System.Account.getValue(fresh.address, { at: genesisHash });
  found.old = old.data.free.toString();
  found.number = await api.query.System.Number.getValue({ at: genesisHash });
  found.legacy = [...called].filter((method) => !/_v1_|^rpc_methods$/.test(method));
  found.groups = [...new Set([...called].filter((method) => /_v1_/.test(method)).map((method) => method.split('_')[0]))].sort();
  client.destroy();
  return found;
}

main(process.argv[2]).then(
  (found) => {
    console.log(JSON.stringify(found));
    process.exit(0);
  },
  (problem) => {
    console.error(problem);
    process.exit(1);
  },
);
