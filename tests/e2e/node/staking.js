// A nominator's and a validator's way through staking, with the real @polkadot/api; prints one JSON object.
//   node staking.js ws://127.0.0.1:9944
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';

const UNIT = 10n ** 12n;

function included(extrinsic, signer) {
  return new Promise((resolve, reject) => {
    extrinsic
      .signAndSend(signer, ({ dispatchError, events, isError, status }) => {
        if (isError) reject(new Error(status.type));
        if (dispatchError) reject(new Error(dispatchError.registry.findMetaError(dispatchError.asModule).name));
        if (status.isInBlock) resolve(events.map(({ event }) => event));
      })
      .catch(reject);
  });
}

/** Look at every new block until something is found. */
function until(api, look) {
  return new Promise((resolve, reject) => {
    let busy = false;
    api.rpc.chain
      .subscribeNewHeads(async () => {
        if (busy) return;
        busy = true;
        const found = await look().catch(reject);
        busy = false;
        if (found !== undefined) resolve(found);
      })
      .catch(reject);
  });
}

async function main(url) {
  const api = await ApiPromise.create({ provider: new WsProvider(url), noInitWarn: true });
  const keyring = new Keyring({ type: 'sr25519', ss58Format: 42 });
  const [alice, charlie, dave] = ['//Alice', '//Charlie', '//Dave'].map((uri) => keyring.addFromUri(uri));
  const names = Object.fromEntries(['Alice', 'Bob', 'Charlie', 'Dave'].map((name) => [keyring.addFromUri(`//${name}`).address, name]));
  const named = (list) => list.map((who) => names[who.toString()]).sort();
  const { derive, query, tx } = api;
  const found = {};

  await Promise.all([
    included(tx.staking.validate({ commission: 50_000_000, blocked: false }), alice),
    included(tx.utility.batchAll([tx.staking.bond(5_000n * UNIT, 'Stash'), tx.staking.validate({ commission: 0 })]), charlie),
    included(tx.utility.batchAll([tx.staking.bond(1_000n * UNIT, 'Staked'), tx.staking.nominate([alice.address])]), dave),
  ]);
  found.waiting = named((await derive.staking.waitingInfo()).waiting);
  found.account = ((each) => ({
    nominators: named(each.nominators),
    redeemable: each.redeemable.toString(),
    rewardDestination: each.rewardDestination.toString(),
    total: each.stakingLedger.total.toString(),
  }))(await derive.staking.account(dave.address));

  const era = await until(api, async () => {
    const active = (await query.staking.activeEra()).unwrap().index.toNumber();
    const overview = await query.staking.erasStakersOverview(active, alice.address);
    return overview.isSome && overview.unwrap().nominatorCount.toNumber() === 1 ? active : undefined;
  });
  const elected = await derive.staking.electedInfo({ withExposure: true, withExposureMeta: true, withPrefs: true });
  found.elected = elected.info
    .map((each) => [
      names[each.accountId.toString()],
      each.exposureMeta.unwrap().total.toString(),
      each.validatorPrefs.commission.unwrap().toNumber(),
      each.exposurePaged.isSome ? named(each.exposurePaged.unwrap().others.map(({ who }) => who)) : [],
    ])
    .sort();
  const overview = await derive.staking.overview();
  found.overview = [named(overview.validators), named(overview.nextElected), overview.validatorCount.toNumber()];

  await until(api, async () => ((await query.staking.erasValidatorReward(era)).isSome ? true : undefined));
  const rewards = async () => (await derive.staking.stakerRewards(dave.address))
    .filter((each) => each.era.eq(era))
    .map((each) => [Object.keys(each.validators).map((who) => names[who]), each.isClaimed]);
  found.rewards = [await rewards()];
  const points = await query.staking.erasRewardPoints(era);
  const exposure = (await query.staking.erasStakersOverview(era, alice.address)).unwrap();
  found.era = {
    payout: (await query.staking.erasValidatorReward(era)).unwrap().toString(),
    points: [points.total.toNumber(), points.individual.size],
    own: exposure.own.toString(),
    total: exposure.total.toString(),
  };
  const events = await included(tx.staking.payoutStakers(alice.address, era), charlie);
  found.paid = events
    .filter((event) => api.events.staking.Rewarded.is(event))
    .map(({ data: { stash, dest, amount } }) => [names[stash.toString()], dest.toString(), amount.toString()]);
  found.claimed = (await query.staking.claimedRewards(era, alice.address)).toJSON();
  found.rewards.push(
    await until(api, async () => {
      const now = await rewards(); // the client remembers the storage of claims for a while
      return now.every(([, isClaimed]) => isClaimed) ? now : undefined;
    }),
  );

  await included(tx.staking.unbond(300n * UNIT), dave);
  const unbonding = await derive.staking.account(dave.address);
  found.unlocking = unbonding.unlocking.map((each) => [each.remainingEras.toNumber() >= 1, each.value.toString()]);
  found.locked = (await query.system.account(dave.address)).data.frozen.toString();
  found.refused = await included(tx.staking.unbond(2n ** 100n), alice).catch(({ message }) => message);
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
