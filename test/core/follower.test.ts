import assert from "node:assert/strict";
import { test } from "node:test";
import { planOf, World } from "../../sim/index.ts";
import { cosign, leaseOf, writeNote } from "../../src/core/crypto/index.ts";
import type { DueRecord } from "../../src/core/mirror/index.ts";
import { type FollowerEffect, FollowerHost, initialState } from "../../src/core/replica/index.ts";

const { network, signatures } = new World(planOf(1, { n: 4 }));
const own = Buffer.alloc(32, 1);
const size = 5;

/** A reader that has executed up to a log of five leaves, due at commit 7, and computed `own` as its root. */
function reader(commit: number): FollowerHost {
  const first = initialState(network);
  const state = {
    ...first,
    commit: { ...first.commit, index: commit },
    log: { size, hashes: [own, own] },
  };
  return new FollowerHost({
    network,
    verifier: signatures.verifier,
    view: { get: () => undefined, changes: () => undefined },
    recovery: {
      records: [],
      state,
      due: { size, root: own, height: 0, commit: 7 } as unknown as DueRecord,
      guard: { place: 0, checkpoint: { size: 0, root: own } },
      maySign: false,
    },
  });
}

function noteOf(root: Uint8Array, writers: readonly number[], at = size): string {
  const checkpoint = { origin: network.origin, size: at, root };
  const lines = writers.map((author) => {
    const name = network.cosigners[author]?.name ?? "";
    return cosign(checkpoint, { name, signer: signatures.signer(`w${author} cosign`), timeS: 9 });
  });
  return writeNote(checkpoint, lines, network.cosigners);
}

const nothing = { commits: [], voters: [] };

/** A source answers with a note and nothing else: what follows, and the fault that it is blamed for. */
function told(
  host: FollowerHost,
  note: string,
): { readonly effects: readonly FollowerEffect[]; readonly fault: string | undefined } {
  const { effects } = host.step({ type: "news", source: "s", range: nothing, note });
  const taken = effects.find((effect) => effect.type === "news-taken");
  const isEnd = effects.some(({ type }) => type === "violation");
  const others = effects.filter(({ type }) => type !== "news-taken");
  return { effects: others, fault: isEnd ? "STATE_DIVERGED" : taken?.fault?.code };
}

const saidOf = (note: string, commit = 7): string => {
  const { effects, fault } = told(reader(commit), note);
  return fault ?? effects.map(({ type }) => type).join();
};

test("a reader takes what a quorum cosigned and it computed too, and nothing else", () => {
  assert.equal(saidOf(noteOf(own, [0, 1, 2])), "state,certified", "and the state there is kept");
  assert.equal(saidOf(noteOf(own, [0, 1])), "NO_QUORUM");
  assert.equal(saidOf(noteOf(own, [0, 1, 1])), "NO_QUORUM");
  assert.equal(saidOf(noteOf(Buffer.alloc(32, 2), [0, 1, 2])), "STATE_DIVERGED");
});

test("what a source answers is taken in, blamed upon it, or, where it shows that this host diverged, ends it", () => {
  const taken = (note: string | undefined): unknown[] => {
    const { effects } = reader(7).step({ type: "news", source: "s", range: nothing, note });
    return effects.map((effect) =>
      effect.type === "news-taken" ? [effect.source, effect.fault?.code] : effect.type,
    );
  };
  assert.deepEqual(taken(undefined), [["s", undefined]]);
  assert.deepEqual(taken(noteOf(own, [0, 1, 2])), ["state", "certified", ["s", undefined]]);
  assert.deepEqual(taken(noteOf(own, [0, 1])), [["s", "NO_QUORUM"]]);
  assert.deepEqual(taken(noteOf(Buffer.alloc(32, 2), [0, 1, 2])), ["violation"]);
});

test("only what was verified is kept of a note: lines of unknown keys, repeated and invalid ones are not passed on", () => {
  const good = noteOf(own, [0, 1, 2]);
  const [, , , , line = ""] = good.split("\n");
  const blob = Buffer.from(line.split(" ").at(-1) ?? "", "base64");
  // Another signature of a known key, of a time long after: who counted it would ask for nothing more.
  const later = Buffer.from(blob);
  later.writeUIntBE(2 ** 40, 6, 6);
  const name = network.cosigners[0]?.name ?? "";
  const bent = `${good}— stranger ${blob.toString("base64")}\n— ${name} ${later.toString("base64")}\n${line}\n`;
  const said = told(reader(7), bent);
  assert.equal(said.fault, undefined);
  const certified = said.effects.find(({ type }) => type === "certified");
  assert.ok(certified?.type === "certified");
  assert.equal(certified.note, good);
  assert.equal(leaseOf(certified.note, network.quorum), 9);
});

test("while newer and newer checkpoints come, the nearest one stays to be compared", () => {
  const host = reader(7);
  const sizes: (number | undefined)[] = [];
  for (const later of [size + 3, size + 6, size + 9]) {
    assert.equal(told(host, noteOf(own, [0, 1, 2], later)).fault, undefined);
    sizes.push(host.waiting?.size);
  }
  assert.deepEqual(sizes, [size + 3, size + 6, size + 9], "the newest is asked for no more");
  assert.deepEqual(host.awaited, [size + 3, size + 9]);
});

test("a state that went on after the checkpoint, by commits that ordered nothing, is not kept for it", () => {
  assert.equal(saidOf(noteOf(own, [0, 1, 2]), 9), "certified");
});
