// How a stash becomes a validator, with the real @polkadot/api; prints one JSON object.
//   node validator.js ws://127.0.0.1:9944
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';

const ASY = 10n ** 12n;

const included = (call, signer) =>
  new Promise((resolve, reject) => {
    call.signAndSend(signer, ({ status, dispatchError, events }) => {
      if (dispatchError) reject(new Error(`${call.meta.name}: ${dispatchError}`));
      else if (status.isInBlock) resolve(events.map(({ event }) => `${event.section}.${event.method}`));
    }).catch(reject);
  });

const until = (subscribe, holds) =>
  new Promise((resolve, reject) => {
    let stop = null;
    const look = (seen) => {
      const found = holds(seen);
      if (found !== undefined) {
        resolve(found);
        if (stop) stop();
      }
    };
    subscribe(look).then((unsubscribe) => (stop = unsubscribe), reject);
  });

async function main(url) {
  const api = await ApiPromise.create({ provider: new WsProvider(url), noInitWarn: true });
  const charlie = new Keyring({ type: 'sr25519' }).addFromUri('//Charlie');
  const { author } = api.rpc;
  const { session, staking } = api.tx;
  const found = {};

  await included(staking.bond(5_000n * ASY, 'Staked'), charlie);
  await included(staking.validate({ commission: 0, blocked: false }), charlie);
  const keys = await author.rotateKeys();
  await included(session.setKeys(keys, '0x'), charlie);
  found.nextKeys = (await api.query.session.nextKeys(charlie.address)).unwrap().toHex() === keys.toHex();
  found.owner = (await api.query.session.keyOwner(['gran', `0x${keys.toHex().slice(66)}`])).toString() === charlie.address;

  const info = await api.derive.session.info();
  found.info = [info.isEpoch, info.sessionLength.toNumber(), info.sessionsPerEra.toNumber()];
  const progress = await api.derive.session.progress();
  found.progress = progress.sessionProgress.toNumber() < progress.sessionLength.toNumber()
    && progress.eraProgress.toNumber() < progress.eraLength.toNumber();

  const since = await until(
    (look) => api.query.session.validators(look),
    (listed) => (listed.some((each) => each.eq(charlie.address)) ? listed.length : undefined),
  );
  found.validators = since;
  const authored = await until(
    (look) => api.derive.chain.subscribeNewHeads(look),
    (head) => (head.author && head.author.eq(charlie.address) ? head.number.toNumber() : undefined),
  );
  await until(
    (look) => api.rpc.chain.subscribeFinalizedHeads(look),
    (head) => (head.number.toNumber() > authored ? true : undefined),
  );
  found.setId = (await api.query.grandpa.currentSetId()).toNumber() > 0;
  found.weights = (await api.query.grandpa.authorities()).map(([, weight]) => weight.toNumber()).sort((a, b) => a - b);
  found.disabled = (await api.query.session.disabledValidators()).length;
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
