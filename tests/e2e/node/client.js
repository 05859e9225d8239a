// What a wallet or an explorer does, through the real @polkadot/api; prints one JSON object.
//   node client.js ws://127.0.0.1:9944
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';

const UNIT = 10n ** 12n;

/** Send an extrinsic and return every status until it is final, and the receipt. */
function send(extrinsic, signer, options = {}) {
  return new Promise((resolve, reject) => {
    const statuses = [];
    extrinsic
      .signAndSend(signer, options, (receipt) => {
        statuses.push(receipt.status.type);
        if (receipt.isError) reject(new Error(statuses.join()));
        if (receipt.isFinalized) resolve({ statuses, receipt });
      })
      .catch(reject);
  });
}

async function main(url) {
  const api = await ApiPromise.create({ provider: new WsProvider(url), throwOnUnknown: true, noInitWarn: true });
  const keyring = new Keyring({ type: 'sr25519' });
  const [alice, bob, charlie] = ['//Alice', '//Bob', '//Charlie'].map((uri) => keyring.addFromUri(uri));
  const fresh = keyring.addFromUri(`//Javascript//${Date.now()}`);
  const found = { chain: (await api.rpc.system.chain()).toString(), spec: api.runtimeVersion.specName.toString() };
  found.decimals = api.registry.chainDecimals;
  found.prefix = api.consts.system.ss58Prefix.toNumber();
  found.author = (await api.query.session.validators()).toHuman();

  found.metadata = [api.runtimeMetadata.version, (await api.call.metadata.metadataVersions()).toJSON()];
  found.nonce = (await api.call.accountNonceApi.accountNonce(alice.address)).eq(await api.rpc.system.accountNextIndex(alice.address));
  const remark = await api.call.transactionPaymentCallApi.queryCallInfo(api.tx.system.remark('0x04').method, 100);
  found.asked = [remark.class.toString(), (await api.call.sessionKeys.decodeSessionKeys('0x00')).isNone];

  const transfer = api.tx.balances.transferKeepAlive(fresh.address, UNIT);
  const { partialFee } = await transfer.paymentInfo(bob);
  const sent = await send(transfer, bob, { era: 8 });
  found.statuses = sent.statuses;
  const paid = sent.receipt.events.find(({ event }) => api.events.transactionPayment.TransactionFeePaid.is(event));
  found.fee = { estimated: partialFee.toString(), paid: paid.event.data.actualFee.toString() };
  found.received = (await api.query.system.account(fresh.address)).data.free.toString();

  const block = await api.rpc.chain.getBlock(sent.receipt.status.asFinalized);
  const mine = block.block.extrinsics.find(({ isSigned }) => isSigned);
  found.era = { isMortal: mine.era.isMortalEra, period: mine.era.asMortalEra.period.toNumber() };
  found.hashes = block.block.header.hash.eq(sent.receipt.status.asFinalized);
  const header = await api.derive.chain.getHeader(sent.receipt.status.asFinalized);
  found.derived = { author: header.author.toString(), hash: header.hash.eq(sent.receipt.status.asFinalized) };

  const batch = api.tx.utility.batchAll([api.tx.system.remark('0x02'), api.tx.sudo.sudo(api.tx.system.remark('0x03'))]);
  const [failed, poor, batched] = await Promise.all([
    send(api.tx.sudo.sudo(api.tx.system.remark('0x01')), bob),
    send(api.tx.balances.transferKeepAlive(fresh.address, UNIT ** 3n), charlie),
    send(batch, alice),
  ]);
  const { section, name } = api.registry.findMetaError(failed.receipt.dispatchError.asModule);
  found.failure = `${section}.${name}`;
  found.token = poor.receipt.dispatchError.toHuman();
  found.batch = batched.receipt.events.map(({ event }) => event.method).filter((each) => each.startsWith('Item'));
  found.maps = (await api.query.system.account.entries()).length;
  found.late = await api.derive.chain.bestNumberLag().then((lag) => lag.toNumber());
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
