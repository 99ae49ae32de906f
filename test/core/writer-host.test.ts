import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { decodeMessage, encodeMessage, type PeerMessage, planOf, World } from "../../sim/index.ts";
import { Author, limits } from "../../src/core/base/index.ts";
import { segmentOf } from "../../src/core/consensus/index.ts";
import {
  type HostEffect,
  type HostRecord,
  type HostRecovery,
  initialState,
  WriterHost,
} from "../../src/core/replica/index.ts";

const world = new World(planOf(1, { n: 4 }));
const { network, signatures } = world;

function decodeType(frame: Uint8Array): string | undefined {
  const message = decodeMessage(frame);
  return message.ok ? message.value.type : undefined;
}

const hello: PeerMessage = {
  type: "hello",
  group: network.group,
  epoch: network.epoch,
  fromRound: 0,
  lastCommit: 0,
  newestOfYou: undefined,
  newestOfMe: undefined,
};

describe("what a writer says to whom, and what it takes from whom", () => {
  let host: WriterHost;
  let nowMs: number;
  let records: HostRecord[];

  beforeEach(() => {
    nowMs = 1000;
    records = [];
    host = new WriterHost({
      network,
      author: Author(0),
      blockSigner: signatures.signer("w0 block"),
      cosignSigner: signatures.signer("w0 cosign"),
      hostSigner: signatures.signer("w0 node"),
      verifier: signatures.verifier,
      view: { get: () => undefined, changes: () => undefined },
      pacing: { leaderTimeoutMs: 250, minRoundMs: 0 },
      recovery: {
        records: [],
        state: initialState(network),
        due: undefined,
        guard: { place: 0, checkpoint: { size: 0, root: new Uint8Array(32) } },
        maySign: true,
      },
      seed: 1,
    });
  });

  const step = (input: Parameters<WriterHost["step"]>[0]): readonly HostEffect[] => {
    const made = host.step(input, nowMs++);
    records.push(...made.records);
    return made.effects;
  };
  const up = (peer: number, session = 1): readonly HostEffect[] =>
    step({ type: "peer-up", peer: Author(peer), session });
  const says = (peer: number, message: PeerMessage): readonly HostEffect[] =>
    step({ type: "message", peer: Author(peer), frame: encodeMessage(message) });
  const drops = (effects: readonly HostEffect[]): string[] =>
    effects.flatMap((effect) => (effect.type === "dropped" ? [effect.code] : []));

  test("hello comes first, on each link, and what is sent names the link", () => {
    for (const session of [7, 9]) {
      const [first] = up(1, session);
      assert.ok(first?.type === "send");
      assert.deepEqual(first.link, { peer: 1, session });
      step({ type: "peer-down", peer: Author(1) });
    }
    up(1, 11);
    assert.deepEqual(drops(says(1, { type: "nudge" })), ["NO_HELLO"]);
    assert.deepEqual(drops(says(1, hello)), []);
    assert.deepEqual(drops(says(1, hello)), ["SECOND_HELLO"]);
  });

  test("blocks go to those that said hello, and to nobody else", () => {
    for (const peer of [1, 2, 3]) up(peer, peer * 10);
    for (const peer of [1, 2]) says(peer, hello);
    const segment = segmentOf(0, [Buffer.from("a message")]);
    const effects = step({ type: "submit", ticket: 1, segment });
    const said = effects.flatMap((effect) => (effect.type === "broadcast" ? [effect.links] : []));
    assert.deepEqual(said, [
      [
        { peer: 1, session: 10 },
        { peer: 2, session: 20 },
      ],
    ]);
  });

  const submit = (): readonly HostEffect[] =>
    step({ type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from("a message")]) });
  /** Since it was asked last. */
  const hasSigned = (): boolean => {
    const taken = records;
    records = [];
    return taken.some(({ type }) => type === "guard");
  };

  test("a host that may stand on an old copy signs nothing while the order is said to be far beyond it", () => {
    for (const peer of [1, 2, 3]) up(peer);
    says(1, { ...hello, lastCommit: 100 });
    for (const peer of [2, 3]) says(peer, hello);
    submit();
    assert.equal(hasSigned(), false);
    assert.equal(host.vitals.isSigning, false);
    assert.equal(host.vitals.isPaused, true);
    // Whoever said so is asked for it, and believed no more once it leaves that unanswered three times.
    const asked = new Map<number, number>();
    let isSigning = false;
    for (let i = 0; i < 2000 && !isSigning; i++) {
      nowMs += 50;
      const effects = step({ type: "tick" });
      for (const effect of effects) {
        if (effect.type !== "send" || decodeType(effect.frame) !== "sync") continue;
        const { peer } = effect.link;
        asked.set(peer, (asked.get(peer) ?? 0) + 1);
        if (peer !== 1) says(peer, { type: "range", range: { commits: [], voters: [] } });
      }
      isSigning = hasSigned();
    }
    assert.ok(isSigning, "a lie does not hold it for ever");
    assert.ok((asked.get(1) ?? 0) >= 2, "a slow answer is waited for");
  });

  test("a host that has signed since its start is not held by what a peer says", () => {
    for (const peer of [1, 2, 3]) up(peer);
    for (const peer of [1, 2]) says(peer, hello);
    submit();
    assert.equal(hasSigned(), true);
    says(3, { ...hello, lastCommit: 100 });
    assert.equal(host.vitals.isSigning, true);
  });

  test("an answer that was not asked for is not looked at", () => {
    up(1);
    says(1, hello);
    const range = { commits: [], voters: [] };
    assert.deepEqual(drops(says(1, { type: "range", range })), ["NOT_ASKED"]);
  });

  test("a peer that goes on with faults is cut off, and heard no more", () => {
    up(1);
    says(1, hello);
    const effects = Array.from({ length: limits.peerFaultsMax + 5 }, () => says(1, hello)).flat();
    const cuts = effects.filter(({ type }) => type === "disconnect");
    assert.equal(cuts.length, 1);
    assert.equal(drops(effects).length, limits.peerFaultsMax + 1);
  });
});

test("what the log has and the state has not is executed first, whatever comes first", () => {
  const alone = new World(planOf(1, { n: 1 }));
  const hostOf = (records: HostRecovery["records"]): WriterHost =>
    new WriterHost({
      network: alone.network,
      author: Author(0),
      blockSigner: alone.signatures.signer("w0 block"),
      cosignSigner: alone.signatures.signer("w0 cosign"),
      hostSigner: alone.signatures.signer("w0 node"),
      verifier: alone.signatures.verifier,
      view: { get: () => undefined, changes: () => undefined },
      pacing: { leaderTimeoutMs: 250, minRoundMs: 0 },
      recovery: {
        records,
        state: initialState(alone.network),
        due: undefined,
        guard: {
          place: records.filter(({ name }) => name !== undefined).length,
          checkpoint: { size: 0, root: new Uint8Array(32) },
        },
        maySign: true,
      },
      seed: 1,
    });
  const submit = { type: "submit", ticket: 1, segment: segmentOf(0, [Buffer.from("m")]) } as const;
  const first = hostOf([]).step(submit, 1000).records;
  const records = first.flatMap((one) => (one.type === "log" ? [one.record] : []));
  const commits = records.filter(({ batch }) => batch !== undefined);
  assert.ok(commits.length > 0);
  const executed = hostOf(records)
    .step(submit, 2000)
    .effects.flatMap((effect) => (effect.type === "executed" ? [effect.commit] : []));
  assert.deepEqual(
    executed,
    Array.from({ length: executed.length }, (_, i) => i + 1),
  );
  assert.ok(executed.length > commits.length);
});
