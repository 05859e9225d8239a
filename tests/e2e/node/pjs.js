// Every check of the matrix through the real @polkadot/api; prints what it found as one JSON object.
//   node pjs.js JSON      where JSON is the order of tests/e2e/matrix.py
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';
import { stringCamelCase } from '@polkadot/util';
import { createKeyMulti, encodeAddress, sortAddresses } from '@polkadot/util-crypto';

const UNIT = 10n ** 12n;
const TIP = 7n;
const PREFIX = 42;

/** Everything the checks share: the client, its payer, and ways to send. */
class Program {
  constructor(api, order) {
    Object.assign(this, { api, order });
    this.keyring = new Keyring({ type: 'sr25519', ss58Format: PREFIX });
    this.payer = this.keyring.addFromUri(order.payer);
  }

  /** Return an account nobody has heard of. */
  fresh(name, type = 'sr25519') {
    return new Keyring({ type, ss58Format: PREFIX }).addFromUri(`//pjs//${name}`);
  }

  give(to, value = UNIT) {
    return this.api.tx.balances.transferKeepAlive(to.address ?? to, value);
  }

  remark(text) {
    return this.api.tx.system.remark(text);
  }

  /** Send an extrinsic; return its receipt when it is in a block, and that block. */
  async send(extrinsic, signer = this.payer, options = {}) {
    return this.included(await this.sign(extrinsic, signer, options));
  }

  /** Submit what is signed; the client drops the status InBlock where Finalized comes before it has the events. */
  included(signed) {
    return new Promise((resolve, reject) => {
      signed
        .send((receipt) => {
          const { status } = receipt;
          if (receipt.isError) reject(new Error(status.type));
          if (status.isInBlock) resolve({ receipt, block: status.asInBlock });
          if (status.isFinalized) resolve({ receipt, block: status.asFinalized });
        })
        .catch(reject);
    });
  }

  async fund(...accounts) {
    const { receipt } = await this.send(this.api.tx.utility.batchAll(accounts.map((each) => this.give(each, 10n * UNIT))));
    if (receipt.dispatchError) throw new Error(receipt.dispatchError.toString());
  }

  async account(who, block) {
    const api = block ? await this.api.at(block) : this.api;
    return api.query.system.account(who.address);
  }

  /** Return an account's nonce in the best block. */
  async nonce(who = this.payer) {
    return (await this.account(who, await this.api.rpc.chain.getBlockHash())).nonce.toNumber();
  }

  async free(who, block) {
    return (await this.account(who, block ?? (await this.api.rpc.chain.getBlockHash()))).data.free.toBigInt();
  }

  /** Look at every new head until something is so. */
  async until(look) {
    for (;;) {
      if (await look()) return;
      const known = (await this.api.rpc.chain.getHeader()).number.toNumber();
      await this.heads('subscribeNewHeads', (number) => number > known);
    }
  }

  /** Return heights that a subscription pushes, up to one that is accepted. */
  heads(name, accepts) {
    return new Promise((resolve, reject) => {
      const seen = [];
      let isDone = false;
      const stopping = this.api.rpc.chain[name]((header) => {
        seen.push(header.number.toNumber());
        if (isDone || !accepts(seen.at(-1), seen.length)) return;
        isDone = true;
        resolve(seen);
        stopping.then((stop) => stop());
      });
      stopping.catch(reject);
    });
  }

  /** Return the data of an event of a receipt, or null. */
  event(receipt, kind) {
    return receipt.events.findLast(({ event }) => kind.is(event))?.event.data ?? null;
  }

  errorName(dispatchError) {
    if (!dispatchError.isModule) return dispatchError.asToken.type;
    const { section, name } = this.api.registry.findMetaError(dispatchError.asModule);
    return `${capital(section)}.${name}`;
  }

  async refusal(extrinsic) {
    return this.api.rpc.author.submitExtrinsic(extrinsic).then(
      () => ({}),
      ({ code, message, data }) => ({
        code,
        message: message.split(': ')[1], // it writes code, message and data into one line
        ...(data === undefined ? {} : { data }),
      }),
    );
  }

  sign(call, by = this.payer, options = {}) {
    return call.signAsync(by, { nonce: -1, ...options });
  }
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

const CHECKS = {
  async connect({ api }) {
    return {
      chain: (await api.rpc.system.chain()).toString(),
      prefix: api.registry.chainSS58,
      decimals: api.registry.chainDecimals[0],
      symbol: api.registry.chainTokens[0],
      spec: api.runtimeVersion.specName.toString(),
      metadata: api.runtimeMetadata.version,
    };
  },

  async storage({ api, order }) {
    const then = await api.at(order.at);
    const found = {};
    for (const pallet of then.registry.metadata.pallets) {
      if (pallet.storage.isNone) continue;
      for (const { name, type } of pallet.storage.unwrap().items) {
        const entry = then.query[stringCamelCase(pallet.name)][stringCamelCase(name)];
        const at = `${pallet.name}.${name}`;
        if (type.isPlain) {
          await entry();
          found[at] = 1;
        } else {
          found[at] = (await entry.entries()).length;
        }
      }
    }
    return found;
  },

  async constants({ api }) {
    const found = {};
    for (const pallet of api.runtimeMetadata.asLatest.pallets) {
      for (const constant of pallet.constants) {
        const value = api.consts[stringCamelCase(pallet.name)][stringCamelCase(constant.name)];
        const isInteger = typeof value.toBigInt === 'function'; // a Perbill's raw type is its name
        found[`${pallet.name}.${constant.name}`] = isInteger ? value.toString() : null;
      }
    }
    return found;
  },

  async accounts({ api, order }) {
    const then = await api.at(order.at);
    const listed = [];
    let sum = 0n;
    for (let startKey; ; ) {
      const page = await then.query.system.account.entriesPaged({ args: [], pageSize: 5, startKey });
      for (const [key, { data }] of page) {
        listed.push(key.args[0].toString());
        sum += data.free.toBigInt() + data.reserved.toBigInt();
      }
      if (page.length < 5) break;
      startKey = page.at(-1)[0];
    }
    return { listed, sum: sum.toString(), issuance: (await then.query.balances.totalIssuance()).toString() };
  },

  async oldBlocks(program) {
    const { api, payer } = program;
    const hashes = await Promise.all([0, 1, 2].map((number) => api.rpc.chain.getBlockHash(number)));
    const states = await Promise.all(hashes.map((hash) => api.at(hash)));
    const { block } = await api.rpc.chain.getBlock(hashes[2]);
    const events = await states[2].query.system.events();
    return {
      hashes: hashes.map((hash) => hash.toHex()),
      numbers: await Promise.all(states.map(async (state) => (await state.query.system.number()).toNumber())),
      calls: block.extrinsics.map(({ method: { section, method } }) => `${capital(section)}.${method}`),
      parent: block.header.parentHash.toHex(),
      event: `${capital(events.at(-1).event.section)}.${events.at(-1).event.method}`,
      free: await Promise.all(hashes.map(async (hash) => (await program.free(payer, hash)).toString())),
    };
  },

  async fees(program) {
    const { api, payer } = program;
    const call = program.give(program.fresh('fees'));
    const { partialFee } = await call.paymentInfo(payer, { tip: TIP });
    const extrinsic = await program.sign(call, payer, { tip: TIP });
    const { block, receipt } = await program.included(extrinsic);
    const parent = (await api.rpc.chain.getHeader(block)).parentHash;
    const then = await api.at(parent);
    const encoded = extrinsic.toU8a();
    const estimate = await then.call.transactionPaymentApi.queryInfo(encoded, encoded.length);
    const details = await api.rpc.payment.queryFeeDetails(extrinsic.toHex(), parent);
    return {
      guess: partialFee.toString(),
      estimate: estimate.partialFee.toString(),
      parts: [...details.inclusionFee.unwrap().values()].map((part) => part.toString()),
      tip: TIP.toString(),
      paid: program.event(receipt, api.events.transactionPayment.TransactionFeePaid).actualFee.toString(),
      lost: ((await program.free(payer, parent)) - (await program.free(payer, block)) - UNIT).toString(),
    };
  },

  async transfers(program) {
    const edward = program.fresh('ed25519', 'ed25519');
    const eckert = program.fresh('ecdsa', 'ecdsa');
    await program.fund(edward, eckert);
    const found = {};
    for (const [scheme, sender] of Object.entries({ sr25519: program.payer, ed25519: edward, ecdsa: eckert })) {
      const to = program.fresh(`transfers//${scheme}`);
      const { receipt } = await program.send(program.give(to), sender);
      found[scheme] = [!receipt.dispatchError, (await program.free(to)).toString()];
    }
    return found;
  },

  async mortality(program) {
    const { api } = program;
    const { receipt, block: hash } = await program.send(program.remark('0x01'), program.payer, { era: 16 });
    const { block } = await api.rpc.chain.getBlock(hash);
    const mine = block.extrinsics.find(({ signer, isSigned }) => isSigned && signer.toString() === program.payer.address);
    const dead = await program.sign(program.remark('0x02'), program.payer, {
      era: api.createType('ExtrinsicEra', { current: 1, period: 4 }),
      blockHash: await api.rpc.chain.getBlockHash(1),
    });
    return {
      success: !receipt.dispatchError,
      period: mine.era.asMortalEra.period.toNumber(),
      mode: ['Disabled', 'Enabled'][mine.inner.signature.mode.toNumber()],
      dead: await program.refusal(dead),
    };
  },

  async inFlight(program) {
    const { api } = program;
    const first = await program.nonce();
    const call = program.give(program.fresh('crowd'));
    const sent = [];
    for (let at = 0; at < 20; at += 1) sent.push((await program.sign(call, program.payer, { nonce: first + at })).toHex());
    const hashes = await Promise.all(sent.toReversed().map((each) => api.rpc.author.submitExtrinsic(each)));
    await program.until(async () => (await program.nonce()) === first + 20);
    return hashes.reverse().map((hash) => hash.toHex());
  },

  async batches(program) {
    const { api } = program;
    const to = program.fresh('batches');
    const calls = [program.give(to), program.give(to, 10n ** 30n), program.give(to)];
    const found = {};
    for (const [name, call] of [['batch', 'batch'], ['batch_all', 'batchAll']]) {
      const { receipt } = await program.send(api.tx.utility[call](calls));
      const stop = program.event(receipt, api.events.utility.BatchInterrupted);
      found[name] = {
        success: !receipt.dispatchError,
        done: receipt.events.filter(({ event }) => api.events.utility.ItemCompleted.is(event)).length,
        stopped: stop && [stop.index.toNumber(), program.errorName(stop.error)],
        error: receipt.dispatchError ? program.errorName(receipt.dispatchError) : null,
        received: (await program.free(to)).toString(),
      };
    }
    return found;
  },

  async failure(program) {
    const { api } = program;
    const { receipt, block } = await program.send(api.tx.sudo.sudo(program.remark('0x03')));
    const { parentHash } = await api.rpc.chain.getHeader(block);
    const lost = (await program.free(program.payer, parentHash)) - (await program.free(program.payer, block));
    const paid = program.event(receipt, api.events.transactionPayment.TransactionFeePaid).actualFee.toBigInt();
    return { success: !receipt.dispatchError, error: program.errorName(receipt.dispatchError), charged: lost === paid && paid > 0n };
  },

  async replacement(program) {
    const { api } = program;
    const nonce = await program.nonce();
    const cheap = await program.sign(program.remark('0x04'), program.payer, { nonce: nonce + 1 });
    const dear = await program.sign(program.remark('0x05'), program.payer, { nonce: nonce + 1, tip: UNIT });
    const again = await program.sign(program.remark('0x06'), program.payer, { nonce: nonce + 1, tip: UNIT });
    const { status, replacing } = await new Promise((resolve, reject) => {
      let sending = null;
      cheap
        .send((answer) => {
          sending ??= api.rpc.author.submitExtrinsic(dear);
          if (answer.status.isUsurped) sending.then((hash) => resolve({ status: answer.status, replacing: hash }), reject);
        })
        .catch(reject);
    });
    const same = await program.refusal(dear);
    const lower = await program.refusal(again);
    await program.send(program.remark('0x07'), program.payer, { nonce });
    await program.until(async () => (await program.nonce()) === nonce + 2);
    return {
      old: [status.type.toLowerCase()],
      by: status.asUsurped.toHex(),
      new: replacing.toHex(),
      same,
      lower: [lower.code, lower.message.split(':')[0]],
    };
  },

  async refusals(program) {
    const { genesisHash, runtimeVersion } = program.api;
    const nonce = await program.nonce();
    const forged = program.remark('0x09').signFake(program.payer.address, { blockHash: genesisHash, genesisHash, nonce, runtimeVersion });
    const stale = await program.sign(program.remark('0x08'), program.payer, { nonce: 0 });
    return {
      bad_signature: await program.refusal(forged),
      stale: await program.refusal(stale),
      again: await program.refusal(stale),
      no_money: await program.refusal(await program.sign(program.remark('0x0a'), program.fresh('pauper'))),
    };
  },

  async unwatch(program) {
    const { api, order } = program;
    const extrinsic = await program.sign(program.remark('0x0b'));
    const provider = new WsProvider(order.url);
    await provider.isReady;
    const statuses = [];
    let id = null;
    await new Promise((resolve, reject) => {
      provider
        .subscribe('author_extrinsicUpdate', 'author_submitAndWatchExtrinsic', [extrinsic.toHex()], (problem, status) => {
          if (problem) reject(problem);
          statuses.push(api.createType('ExtrinsicStatus', status).type);
          if (statuses.at(-1) === 'Finalized') resolve();
        })
        .then((given) => (id = given), reject);
    });
    const answer = await provider.unsubscribe('author_extrinsicUpdate', 'author_unwatchExtrinsic', id);
    await provider.disconnect();
    return { statuses: statuses.map((each) => each[0].toLowerCase() + each.slice(1)), answer };
  },

  async subscriptions(program) {
    const { api } = program;
    const values = await new Promise((resolve, reject) => {
      const seen = [];
      const stopping = api.query.system.number((number) => {
        seen.push(number.toNumber());
        if (seen.length === 3) {
          resolve(seen);
          stopping.then((stop) => stop());
        }
      });
      stopping.catch(reject);
    });
    return {
      heads: await program.heads('subscribeNewHeads', (_, count) => count === 3),
      finalized: await program.heads('subscribeFinalizedHeads', (_, count) => count === 3),
      storage: values,
    };
  },

  async headers({ api, order }) {
    const at = (await api.rpc.chain.getHeader(order.at)).number.toNumber();
    const found = {};
    for (const number of [0, 1, 2, at]) {
      const header = await api.rpc.chain.getHeader(await api.rpc.chain.getBlockHash(number));
      found[number] = header.hash.toHex();
    }
    return found;
  },

  async bodies({ api, order }) {
    const { block } = await api.rpc.chain.getBlock(order.at);
    return {
      root: block.header.extrinsicsRoot.toHex(),
      extrinsics: block.extrinsics.map((each) => each.toHex()),
    };
  },

  async proofs({ api, order }) {
    const { at, proof } = await api.rpc.state.getReadProof(order.proof_keys, order.at);
    return { at: at.toHex(), proof: proof.map((each) => each.toHex()) };
  },

  async runtimeApis({ api, payer }) {
    const nonce = await api.call.accountNonceApi.accountNonce(payer.address);
    const version = await api.call.core.version();
    const epoch = await api.call.babeApi.currentEpoch();
    const quoted = await api.call.transactionPaymentCallApi.queryCallInfo(api.tx.system.remark('0x04').method, 100);
    const keys = await api.call.sessionKeys.decodeSessionKeys('0x00');
    const validity = await api.call.taggedTransactionQueue.validateTransaction('External', '0x080400', `0x${'00'.repeat(32)}`);
    const subnet = (await api.call.subnetApi.metagraph(1)).unwrap();
    const register = api.tx.neurons.burnedRegister(1, subnet.neurons[0].hotkey, 0).method;
    const refusal = (await api.call.subnetApi.checkCall(payer.address, register)).unwrap();
    const { name } = api.registry.findMetaError(refusal.error.asModule);
    return {
      subnet: [subnet.kind.toString(), ...subnet.neurons.map((each) => [each.uid.toNumber(), each.hotkey.toString()])],
      refusal: [refusal.pallet.toString(), refusal.name.toString(), name],
      versions: (await api.call.metadata.metadataVersions()).toJSON(),
      epoch: [epoch.duration.toNumber(), epoch.authorities.length],
      class: quoted.class.toString(),
      keys: keys.toJSON(),
      validity: validity.toHuman(),
      nonces: [nonce.toNumber(), (await api.rpc.system.accountNextIndex(payer.address)).toNumber()],
      spec: version.specName.toString(),
    };
  },

  async multisig(program) {
    const { api, payer } = program;
    const party = [payer, program.fresh('second'), program.fresh('third')];
    await program.fund(...party.slice(1));
    const addresses = party.map(({ address }) => address);
    const account = encodeAddress(createKeyMulti(addresses, 2), PREFIX);
    await program.send(program.give(account, 9n * UNIT));
    const to = program.fresh('multisig');
    const call = program.give(to);
    const others = (who) => sortAddresses(addresses.filter((each) => each !== who.address), PREFIX);
    const { weight } = await call.paymentInfo(payer);
    const waiting = [];
    const left = async () => (await api.query.multisig.multisigs.entries(account)).length;
    await program.send(api.tx.multisig.approveAsMulti(2, others(party[1]), null, call.method.hash, weight), party[1]);
    waiting.push(await left());
    const { when } = (await api.query.multisig.multisigs(account, call.method.hash)).unwrap();
    await program.send(api.tx.multisig.asMulti(2, others(party[2]), when, call, weight), party[2]);
    waiting.push(await left());
    return { waiting, received: (await program.free(to)).toString() };
  },

  async proxy(program) {
    const { api, payer } = program;
    const delegate = program.fresh('delegate');
    await program.fund(delegate);
    await program.send(api.tx.proxy.addProxy(delegate.address, 'NonTransfer', 0));
    const outcomes = [];
    for (const call of [program.remark('0x0c'), program.give(delegate)]) {
      const { receipt } = await program.send(api.tx.proxy.proxy(payer.address, null, call), delegate);
      outcomes.push(program.event(receipt, api.events.proxy.ProxyExecuted).result.type);
    }
    await program.send(api.tx.proxy.removeProxies());
    const [rights, deposit] = await api.query.proxy.proxies(payer.address);
    return { outcomes, left: [rights.length, deposit.toString()] };
  },
};

/** Make every check; one that fails says where. */
async function main(order) {
  const api = await ApiPromise.create({ provider: new WsProvider(order.url), throwOnUnknown: true, noInitWarn: true });
  const program = new Program(api, order);
  const found = {};
  for (const [name, check] of Object.entries(CHECKS)) {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    console.error(snake);
    found[snake] = await check(program).catch((problem) => ({ failed: String(problem.stack ?? problem) }));
  }
  await api.disconnect();
  return found;
}

main(JSON.parse(process.argv[2])).then(
  (found) => console.log(JSON.stringify(found)),
  (problem) => {
    console.error(problem);
    process.exit(1);
  },
);
