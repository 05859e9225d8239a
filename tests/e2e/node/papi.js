// Every check of the matrix through the real polkadot-api (PAPI); prints what it found as one JSON object.
//   node papi.js JSON      where JSON is the order of tests/e2e/matrix.py
import { createRequire } from 'node:module';
import { Keyring } from '@polkadot/api';
import { WebSocket } from '@polkadot/x-ws';
import { createClient, Enum } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import { fromHex, toHex } from 'polkadot-api/utils';
import { getWsProvider } from 'polkadot-api/ws';
import { distinctUntilChanged } from 'rxjs';

const UNIT = 10n ** 12n;
const TIP = 7n;
const PREFIX = 42;
const SIGNERS = { sr25519: 'Sr25519', ed25519: 'Ed25519', ecdsa: 'Ecdsa' };
const ASKED_BY_US = ['author_submitExtrinsic', 'state_getReadProof', 'archive_v1_hashByHeight'];

// The codecs of the client itself, whichever version it brings.
const bindings = createRequire(import.meta.resolve('polkadot-api'))('@polkadot-api/substrate-bindings');

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

/** Return the values of an observable, up to the first that a test accepts. */
function collect(observable, accepts) {
  return new Promise((resolve, reject) => {
    const seen = [];
    let subscription = null;
    let isDone = false;
    subscription = observable.subscribe({
      next: (value) => {
        if (isDone) return;
        seen.push(value);
        if (!accepts(value, seen.length)) return;
        isDone = true;
        resolve(seen);
        queueMicrotask(() => subscription.unsubscribe());
      },
      error: reject,
    });
  });
}

/** Everything the checks share: the client, its payer, and ways to send. */
class Program {
  constructor(order) {
    this.order = order;
    this.called = new Set();
    this.client = createClient(observed(getWsProvider(order.url, { websocketClass: WebSocket }), this.called));
    this.api = this.client.getUnsafeApi();
    this.payer = new Keyring({ type: 'sr25519', ss58Format: PREFIX }).addFromUri(order.payer);
  }

  /** Return an account nobody has heard of. */
  fresh(name, type = 'sr25519') {
    return new Keyring({ type, ss58Format: PREFIX }).addFromUri(`//papi//${name}`);
  }

  signer(account) {
    return getPolkadotSigner(account.addressRaw, SIGNERS[account.type], (payload) => account.sign(payload));
  }

  give(to, value = UNIT) {
    return this.api.tx.Balances.transfer_keep_alive({ dest: Enum('Id', to.address ?? to), value });
  }

  remark(byte) {
    return this.api.tx.System.remark({ remark: new Uint8Array([byte]) });
  }

  nonce(who = this.payer, at = 'best') {
    return this.api.apis.AccountNonceApi.account_nonce(who.address, { at });
  }

  async free(who, at = 'best') {
    return (await this.api.query.System.Account.getValue(who.address, { at })).data.free;
  }

  async sign(call, by = this.payer, options = {}) {
    return call.sign(this.signer(by), { nonce: await this.nonce(by), ...options });
  }

  /** Send a call; return what happened to it in a block. */
  async send(call, by = this.payer, options = {}) {
    const transaction = await this.sign(call, by, options);
    const events = await collect(this.client.submitAndWatch(transaction), ({ found }) => found);
    return { ...events.at(-1), transaction };
  }

  async fund(...accounts) {
    const calls = accounts.map((each) => this.give(each, 10n * UNIT).decodedCall);
    const sent = await this.send(this.api.tx.Utility.batch_all({ calls }));
    if (!sent.ok) throw new Error(JSON.stringify(sent.dispatchError));
  }

  hash(number) {
    return this.client._request('archive_v1_hashByHeight', [number]).then(([hash]) => hash);
  }

  async refusal(transaction) {
    return this.client._request('author_submitExtrinsic', [toHex(transaction)]).then(
      () => ({}),
      ({ code, message, data }) => ({ code, message, ...(data === undefined ? {} : { data }) }),
    );
  }

  /** Return what the client itself says of a transaction that cannot be. */
  async verdict(transaction) {
    return this.client.submit(transaction).then(
      () => null,
      ({ error }) => error?.value?.type ?? String(error),
    );
  }
}

/** Leave out the emissions that bring no other best block. */
const distinct = distinctUntilChanged(([before], [after]) => before.hash === after.hash);
const event = (sent, pallet, name) =>
  sent.events.findLast(({ type, value }) => type === pallet && value.type === name)?.value.value ?? null;
const errorName = ({ type, value }) => (type === 'Module' ? `${value.type}.${value.value.type}` : value.type);

const CHECKS = {
  async connect({ client, api }) {
    const { name, properties } = await client.getChainSpecData();
    const { hash } = await client.getFinalizedBlock();
    const version = await api.constants.System.Version();
    return {
      chain: name,
      prefix: properties.ss58Format,
      decimals: properties.tokenDecimals,
      symbol: properties.tokenSymbol,
      spec: version.spec_name,
      metadata: bindings.decAnyMetadata(await client.getMetadata(hash)).metadata.tag.slice(1) * 1,
    };
  },

  async storage({ client, api, order: { at } }) {
    const { pallets } = bindings.unifyMetadata(bindings.decAnyMetadata(await client.getMetadata(at)));
    const found = {};
    for (const { name, storage } of pallets) {
      for (const item of storage?.items ?? []) {
        const entry = api.query[name][item.name];
        const isPlain = item.type.tag === 'plain';
        found[`${name}.${item.name}`] = isPlain
          ? await entry.getValue({ at }).then(() => 1)
          : (await entry.getEntries({ at })).length;
      }
    }
    return found;
  },

  async constants({ client, api, order: { at } }) {
    const { pallets } = bindings.unifyMetadata(bindings.decAnyMetadata(await client.getMetadata(at)));
    const found = {};
    for (const { name, constants } of pallets) {
      for (const constant of constants) {
        const value = await api.constants[name][constant.name]();
        found[`${name}.${constant.name}`] = ['number', 'bigint'].includes(typeof value) ? value.toString() : null;
      }
    }
    return found;
  },

  async accounts({ api, order: { at } }) {
    const entries = await api.query.System.Account.getEntries({ at });
    return {
      listed: entries.map(({ keyArgs: [account] }) => account),
      sum: entries.reduce((sum, { value: { data } }) => sum + data.free + data.reserved, 0n).toString(),
      issuance: (await api.query.Balances.TotalIssuance.getValue({ at })).toString(),
    };
  },

  async oldBlocks(program) {
    const { client, api, payer } = program;
    const hashes = await Promise.all([0, 1, 2].map((number) => program.hash(number)));
    const body = await client.getBlockBody(hashes[2]);
    const events = await api.query.System.Events.getValue({ at: hashes[2] });
    const bare = body.map((each) => each.slice([1, 2, 4][each[0] & 3] + 1)); // without length, and "bare"
    const calls = await Promise.all(bare.map(async (each) => (await api.txFromCallData(each)).decodedCall));
    return {
      hashes,
      numbers: await Promise.all(hashes.map((at) => api.query.System.Number.getValue({ at }))),
      calls: calls.map(({ type, value }) => `${type}.${value.type}`),
      parent: (await client.getBlockHeader(hashes[2])).parentHash,
      event: `${events.at(-1).event.type}.${events.at(-1).event.value.type}`,
      free: await Promise.all(hashes.map(async (at) => (await program.free(payer, at)).toString())),
    };
  },

  async fees(program) {
    const { client, api, payer } = program;
    const call = program.give(program.fresh('fees'));
    const guess = await call.getPaymentInfo(payer.address, { tip: TIP, nonce: await program.nonce(payer, 'finalized') });
    const sent = await program.send(call, payer, { tip: TIP });
    const at = (await client.getBlockHeader(sent.block.hash)).parentHash;
    const asked = [sent.transaction.slice(2), sent.transaction.length, { at }]; // it writes the length itself
    const estimate = await api.apis.TransactionPaymentApi.query_info(...asked);
    const details = await api.apis.TransactionPaymentApi.query_fee_details(...asked);
    return {
      guess: guess.partial_fee.toString(),
      estimate: estimate.partial_fee.toString(),
      parts: Object.values(details.inclusion_fee).map(String),
      tip: TIP.toString(),
      paid: event(sent, 'TransactionPayment', 'TransactionFeePaid').actual_fee.toString(),
      lost: ((await program.free(payer, at)) - (await program.free(payer, sent.block.hash)) - UNIT).toString(),
    };
  },

  async transfers(program) {
    const edward = program.fresh('ed25519', 'ed25519');
    const eckert = program.fresh('ecdsa', 'ecdsa');
    await program.fund(edward, eckert);
    const found = {};
    for (const [scheme, sender] of Object.entries({ sr25519: program.payer, ed25519: edward, ecdsa: eckert })) {
      const to = program.fresh(`transfers//${scheme}`);
      const { ok } = await program.send(program.give(to), sender);
      found[scheme] = [ok, (await program.free(to)).toString()];
    }
    return found;
  },

  async mortality(program) {
    const { client, payer } = program;
    const dead = await program.sign(program.remark(2), payer, { mortality: { mortal: true, period: 4 } });
    const [born] = (await client.getBestBlocks()).map(({ number }) => number);
    const sent = await program.send(program.remark(1), payer, { mortality: { mortal: true, period: 16 } });
    await collect(client.bestBlocks$, ([{ number }]) => number > born + 4);
    return { success: sent.ok, sent: [sent.block.hash, sent.block.index], dead: await program.refusal(dead) };
  },

  async inFlight(program) {
    const { client, order } = program;
    const first = await program.nonce();
    const call = program.give(program.fresh('crowd'));
    const sent = [];
    for (let at = 0; at < 20; at += 1) sent.push(await program.sign(call, program.payer, { nonce: first + at }));
    const { client: second, ...other } = new Program(order); // a connection broadcasts 16 at most, as Substrate has it
    await other.api.constants.System.SS58Prefix();
    const done = await Promise.all(
      sent.toReversed().map((each, at) => (at % 2 ? client : second).submit(each)),
    );
    second.destroy();
    return done.reverse().map(({ txHash }) => txHash);
  },

  async batches(program) {
    const { api } = program;
    const to = program.fresh('batches');
    const calls = [program.give(to), program.give(to, 10n ** 30n), program.give(to)].map(({ decodedCall }) => decodedCall);
    const found = {};
    for (const name of ['batch', 'batch_all']) {
      const sent = await program.send(api.tx.Utility[name]({ calls }));
      const stop = event(sent, 'Utility', 'BatchInterrupted');
      found[name] = {
        success: sent.ok,
        done: sent.events.filter(({ value }) => value.type === 'ItemCompleted').length,
        stopped: stop && [stop.index, errorName(stop.error)],
        error: sent.ok ? null : errorName(sent.dispatchError),
        received: (await program.free(to)).toString(),
      };
    }
    return found;
  },

  async failure(program) {
    const sent = await program.send(program.api.tx.Sudo.sudo({ call: program.remark(3).decodedCall }));
    const { parentHash } = await program.client.getBlockHeader(sent.block.hash);
    const lost = (await program.free(program.payer, parentHash)) - (await program.free(program.payer, sent.block.hash));
    const paid = event(sent, 'TransactionPayment', 'TransactionFeePaid').actual_fee;
    return { success: sent.ok, error: errorName(sent.dispatchError), charged: lost === paid && paid > 0n };
  },

  async replacement(program) {
    const { client, payer } = program;
    const nonce = await program.nonce();
    const cheap = await program.sign(program.remark(4), payer, { nonce: nonce + 1 });
    const dear = await program.sign(program.remark(5), payer, { nonce: nonce + 1, tip: UNIT });
    const again = await program.sign(program.remark(6), payer, { nonce: nonce + 1, tip: UNIT });
    const filler = await program.sign(program.remark(7), payer, { nonce });
    const old = program.verdict(cheap);
    const pending = collect(client.submitAndWatch(cheap), ({ type }) => type === 'broadcasted');
    await pending;
    const hash = await client._request('author_submitExtrinsic', [toHex(dear)]);
    const same = await program.refusal(dear);
    const lower = await program.refusal(again);
    const done = await client.submit(filler);
    return {
      old: [(await old).toLowerCase()],
      new: hash,
      filled: done.ok,
      same,
      lower: [lower.code, lower.message.split(':')[0]],
    };
  },

  async refusals(program) {
    const forger = getPolkadotSigner(program.payer.publicKey, 'Sr25519', () => new Uint8Array(64).fill(1));
    const forged = await program.remark(9).sign(forger, { nonce: await program.nonce() });
    const stale = await program.sign(program.remark(8), program.payer, { nonce: 0 });
    const poor = await program.sign(program.remark(10), program.fresh('pauper'));
    return {
      bad_signature: await program.refusal(forged),
      stale: await program.refusal(stale),
      again: await program.refusal(stale),
      no_money: await program.refusal(poor),
      verdicts: [await program.verdict(forged), await program.verdict(stale), await program.verdict(poor)],
    };
  },

  async subscriptions({ client, api }) {
    const best = await collect(client.bestBlocks$.pipe(distinct), (_, count) => count === 3);
    const finalized = await collect(client.finalizedBlock$, (_, count) => count === 3);
    const values = await collect(api.query.System.Number.watchValue({ at: 'best' }), (_, count) => count === 3);
    return {
      heads: best.map(([{ number }]) => number),
      finalized: finalized.map(({ number }) => number),
      storage: values.map(({ value }) => value),
    };
  },

  async headers(program) {
    const { client, order } = program;
    const at = (await client.getBlockHeader(order.at)).number;
    const found = {};
    for (const number of [0, 1, 2, at]) {
      const header = await client.getBlockHeader(await program.hash(number));
      found[number] = toHex(bindings.Blake2256(bindings.blockHeader.enc(header)));
    }
    return found;
  },

  async bodies({ client, order }) {
    const { extrinsicRoot } = await client.getBlockHeader(order.at);
    return { root: extrinsicRoot, extrinsics: (await client.getBlockBody(order.at)).map(toHex) };
  },

  async proofs({ client, order }) {
    const { at, proof } = await client._request('state_getReadProof', [order.proof_keys, order.at]);
    const { stateRoot } = await client.getBlockHeader(at);
    return { at, proof, verified: bindings.validateProofs(proof)?.rootHash === stateRoot };
  },

  async runtimeApis(program) {
    const { api, payer } = program;
    const epoch = await api.apis.BabeApi.current_epoch();
    const quoted = await api.apis.TransactionPaymentCallApi.query_call_info(program.remark(4).decodedCall, 100);
    const keys = await api.apis.SessionKeys.decode_session_keys(new Uint8Array([0]));
    const validity = await api.apis.TaggedTransactionQueue.validate_transaction(
      Enum('External'),
      fromHex('0x080400'),
      `0x${'00'.repeat(32)}`,
    );
    const subnet = await api.apis.SubnetApi.metagraph(1);
    const register = api.tx.Neurons.burned_register({ netuid: 1, hotkey: subnet.neurons[0].hotkey, max_price: 0n }).decodedCall;
    const refusal = await api.apis.SubnetApi.check_call(payer.address, register);
    return {
      subnet: [subnet.kind.type, ...subnet.neurons.map((each) => [each.uid, each.hotkey])],
      refusal: [refusal.pallet, refusal.name, refusal.error.value.value.type],
      nonces: [await program.nonce(), (await api.query.System.Account.getValue(payer.address, { at: 'best' })).nonce],
      spec: (await api.apis.Core.version()).spec_name,
      versions: await api.apis.Metadata.metadata_versions(),
      epoch: [Number(epoch.duration), epoch.authorities.length],
      class: quoted.class.type,
      keys: keys ?? null,
      validity: { Err: { [validity.value.type]: validity.value.value.type } },
    };
  },

  async multisig(program) {
    const { api, payer } = program;
    const party = [payer, program.fresh('second'), program.fresh('third')];
    await program.fund(...party.slice(1));
    const encode = bindings.AccountId(PREFIX);
    const signatories = party.map(({ publicKey }) => publicKey);
    const account = encode.dec(bindings.getMultisigAccountId({ threshold: 2, signatories }));
    await program.send(program.give(account, 9n * UNIT));
    const to = program.fresh('multisig');
    const call = program.give(to);
    const { weight } = await call.getPaymentInfo(payer.address, { nonce: 0 });
    const waiting = [];
    let when;
    for (const signer of party.slice(1)) {
      const others = bindings.sortMultisigSignatories(signatories.filter((each) => each !== signer.publicKey));
      await program.send(
        api.tx.Multisig.as_multi({
          threshold: 2,
          other_signatories: others.map(encode.dec),
          maybe_timepoint: when,
          call: call.decodedCall,
          max_weight: weight,
        }),
        signer,
      );
      const entries = await api.query.Multisig.Multisigs.getEntries(account, { at: 'best' });
      when = entries[0]?.value.when;
      waiting.push(entries.length);
    }
    return { waiting, received: (await program.free(to)).toString() };
  },

  async proxy(program) {
    const { api, payer } = program;
    const delegate = program.fresh('delegate');
    await program.fund(delegate);
    const right = { delegate: Enum('Id', delegate.address), proxy_type: Enum('NonTransfer'), delay: 0 };
    await program.send(api.tx.Proxy.add_proxy(right));
    const outcomes = [];
    for (const { decodedCall } of [program.remark(12), program.give(delegate)]) {
      const proxied = { real: Enum('Id', payer.address), force_proxy_type: undefined, call: decodedCall };
      const sent = await program.send(api.tx.Proxy.proxy(proxied), delegate);
      outcomes.push(event(sent, 'Proxy', 'ProxyExecuted').result.success ? 'Ok' : 'Err');
    }
    await program.send(api.tx.Proxy.remove_proxies());
    const [rights, deposit] = await api.query.Proxy.Proxies.getValue(payer.address, { at: 'best' });
    return { outcomes, left: [rights.length, deposit.toString()] };
  },

  async v1Groups({ called }) {
    const methods = [...called].filter((method) => !ASKED_BY_US.includes(method));
    return {
      legacy: methods.filter((method) => !/_v1_|^rpc_methods$/.test(method)),
      groups: [...new Set(methods.filter((method) => /_v1_/.test(method)).map((method) => method.split('_')[0]))].sort(),
    };
  },
};

/** Make every check; one that fails says where. */
async function main(order) {
  const program = new Program(order);
  const found = {};
  for (const [name, check] of Object.entries(CHECKS)) {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    console.error(snake);
    found[snake] = await check(program).catch((problem) => ({ failed: String(problem.stack ?? problem) }));
  }
  program.client.destroy();
  return found;
}

main(JSON.parse(process.argv[2])).then(
  (found) => {
    console.log(JSON.stringify(found));
    process.exit(0);
  },
  (problem) => {
    console.error(problem);
    process.exit(1);
  },
);
