import fc from "fast-check";
import {
  type Evidence,
  type ServedReceipt,
  splitIdentity,
} from "../../src/core/accountability/index.ts";
import { Author, Round } from "../../src/core/base/index.ts";
import { sha256, signingBytes } from "../../src/core/crypto/index.ts";
import type { DagMisbehaviour } from "../../src/core/dag/index.ts";
import type { StateProof } from "../../src/core/proof/index.ts";
import {
  blockOf,
  type Cast,
  contents,
  cosigned,
  digestOf,
  halfOf,
  heights,
  logOf,
  ofDag,
  possessed,
  published,
  rootOfText,
  served,
} from "./evidence-cast.ts";

/** The signature by which a host joins a group at the checkpoint of a size. */
export function joinOf(
  { network, signer }: Cast,
  { author, size, body }: { readonly author: number; readonly size: number; readonly body: string },
) {
  const hash = digestOf(body);
  const identity = splitIdentity({ group: network.group, size }, hash);
  return { body: hash, signature: signer(`w${author} node`).sign(signingBytes("split", identity)) };
}

const author = Author(1);

type Kind = DagMisbehaviour["kind"] | Exclude<Evidence["kind"], "consensus">;

/** One misdeed of each kind, by the writer 1. */
export const misdeeds: Readonly<Record<Kind, (cast: Cast) => Evidence>> = {
  equivocation: (cast) =>
    ofDag({
      kind: "equivocation",
      author,
      epoch: 0,
      round: 3,
      first: halfOf(blockOf(cast, { author, round: 3, text: "this", votes: 64 })),
      second: halfOf(blockOf(cast, { author, round: 3, text: "that", votes: 64 })),
    }),
  "invalid-block": (cast) =>
    ofDag({
      kind: "invalid-block",
      signed: blockOf(cast, { author, round: 3, change: { round: Round(5) }, votes: 64 }).signed,
      payload: undefined,
    }),
  "contradicting-checkpoint": (cast) => ({
    kind: "contradicting-checkpoint",
    author,
    size: 6,
    first: cosigned(cast, { author, size: 6, root: rootOfText("one") }),
    second: cosigned(cast, { author, size: 6, root: rootOfText("two"), timeS: 1 }),
  }),
  "wrong-answer": (cast) => ({
    kind: "wrong-answer",
    receipt: served(cast, { content: digestOf("something else") }),
    proof: published(cast),
  }),
  "false-possession": (cast) => ({
    kind: "false-possession",
    claim: possessed(cast, { content: contents.file, has: Buffer.from(""), nonce: "now" }),
    content: contents.file,
  }),
  "double-split": (cast) => ({
    kind: "double-split",
    author,
    size: 6,
    first: joinOf(cast, { author, size: 6, body: "with these" }),
    second: joinOf(cast, { author, size: 6, body: "with those" }),
  }),
};

/** Receipts that an honest host gives: at both heights, for what stands there and what does not. */
export function honestReceipts(cast: Cast): readonly ServedReceipt[] {
  const at7 = { "/alpha/a%20file": contents.file, "/alpha/sub/deep": contents.deep };
  const at8 = { "/alpha/a%20file": contents.later };
  return heights.flatMap((height) => {
    const there = Object.entries(height === 7 ? at7 : at8);
    const found = there.flatMap(([path, content]) => [
      served(cast, { path, content: sha256(content), height }),
      served(cast, { path, content: sha256(content), height, status: 206, nonce: "a nonce" }),
    ]);
    const absent = ["/alpha/none", "/alpha/link/x", "/beta/a", "/alpha/a%20file/x"];
    const gone = height === 8 ? ["/alpha/sub/deep"] : [];
    const missing = [...absent, ...gone].map((path) =>
      served(cast, { path, content: undefined, height, status: 404, method: "HEAD" }),
    );
    // What stands behind a link is answered in another way; whatever is signed for it convicts nobody.
    const links = ["/alpha/link", "/alpha"].flatMap((path) => [
      served(cast, { path, height, content: sha256(contents.file) }),
      served(cast, { path, height, content: undefined, status: 404 }),
    ]);
    return [...found, ...missing, ...links];
  });
}

/** Proofs of what was certified and of what was not; any part of one may stand in another. */
function proofs(cast: Cast): fc.Arbitrary<StateProof> {
  const all = heights.flatMap((height) =>
    [false, true].map((isForged) => published(cast, height, isForged)),
  );
  const nodes = all.flatMap((one) => one.nodes);
  const mixed = fc
    .record({
      base: fc.constantFrom(...all),
      other: fc.constantFrom(...all),
      keys: fc.subarray(["note", "leafIndex", "leaf", "hashes", "body"] as const),
      nodes: fc.oneof(fc.constant(nodes), fc.subarray(nodes)),
    })
    .map(({ base, other, keys, nodes: given }) => ({
      ...base,
      ...Object.fromEntries(keys.map((key) => [key, other[key]])),
      nodes: given,
    }));
  return fc.oneof(fc.constantFrom(...all), mixed);
}

/** All that an honest writer signs in a life, each signature with what was signed. */
function signaturesOf(cast: Cast, other: Cast) {
  const halves = [1, 2, 3, 4].flatMap((round) =>
    [cast, other].flatMap((by) =>
      [0, 1].map((one) => halfOf(blockOf(by, { author: one, round, text: `round ${round}` }))),
    ),
  );
  const joins = [5, 6].map((size) => joinOf(cast, { author: 1, size, body: `plan ${size}` }));
  const abroad = joinOf(other, { author: 1, size: 6, body: "plan of another" });
  const roots = [4, 5, 6].flatMap((size) =>
    [1, 2].map((timeS) => cosigned(cast, { author: 1, size, root: logOf(size).root, timeS })),
  );
  const rootAbroad = cosigned(other, { author: 1, size: 6, root: rootOfText("of another") });
  return { bodies: [...halves, ...joins, abroad], roots: [...roots, rootAbroad] };
}

/** Evidence put together from nothing but honest work: whoever is convicted by it is framed. */
export function honestWorks(cast: Cast, other: Cast): fc.Arbitrary<Evidence> {
  const { bodies, roots } = signaturesOf(cast, other);
  const receipts = honestReceipts(cast);
  const claims = ["one", "two"].flatMap((nonce) =>
    [contents.file, contents.deep].map((content) =>
      possessed(cast, { content, has: content, nonce }),
    ),
  );
  const signatures = [...bodies, ...roots, ...receipts, ...claims].map((one) => one.signature);
  const signature = fc.constantFrom(...signatures);
  const half = fc.oneof(
    fc.constantFrom(...bodies),
    fc.record({ body: fc.constantFrom(...bodies.map(({ body }) => body)), signature }),
  );
  const cosignedRoot = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...roots) },
    fc.record({
      root: fc.constantFrom(...roots.map(({ root }) => root)),
      timeS: fc.nat(3),
      signature,
    }),
  );
  const who = fc.oneof(fc.constant(author), fc.nat(5).map(Author));
  const size = fc.integer({ min: 4, max: 6 });
  return fc.oneof(
    fc
      .record({
        kind: fc.constant("equivocation" as const),
        author: who,
        epoch: fc.constantFrom(0, 0, 1),
        round: fc.nat(4),
        first: half,
        second: half,
      })
      .map(ofDag),
    fc.record({
      kind: fc.constant("double-split" as const),
      author: who,
      size,
      first: half,
      second: half,
    }),
    fc.record({
      kind: fc.constant("contradicting-checkpoint" as const),
      author: who,
      size,
      first: cosignedRoot,
      second: cosignedRoot,
    }),
    blocks(cast, other),
    answers(cast, receipts),
    fc.record({
      kind: fc.constant("false-possession" as const),
      claim: fc
        .tuple(fc.constantFrom(...claims), fc.constantFrom(...claims), fc.nat(5))
        .map(([one, two, which]) => spliced(one, two, which)),
      content: fc.constantFrom(contents.file, contents.deep, contents.later),
    }),
  );
}

type Claim = Extract<Evidence, { kind: "false-possession" }>["claim"];

function spliced(one: Claim, two: Claim, which: number): Claim {
  const key = (["content", "nonce", "answer", "signature"] as const)[which];
  return key === undefined ? one : { ...one, [key]: two[key] };
}

function blocks(cast: Cast, other: Cast): fc.Arbitrary<Evidence> {
  const made = [1, 2, 9].flatMap((round) =>
    [cast, other].flatMap((by) => [
      blockOf(by, { author: 1, round }),
      blockOf(by, { author: 1, round, text: "a message", votes: 2 }),
    ]),
  );
  const signature = fc.constantFrom(...made.map(({ signed }) => signed.signature));
  const signed = fc.constantFrom(...made.map((block) => block.signed));
  const bytes = fc.constantFrom(...made.map((block) => block.signed.bytes));
  const payload = fc.constantFrom(...made.map((block) => block.payload), new Uint8Array(0));
  return fc
    .record({
      kind: fc.constant("invalid-block" as const),
      signed: fc.oneof(signed, fc.record({ bytes, signature })),
      payload: fc.option(payload, { nil: undefined }),
    })
    .map(ofDag);
}

function answers(cast: Cast, receipts: readonly ServedReceipt[]): fc.Arbitrary<Evidence> {
  const one = fc.constantFrom(...receipts);
  const keys = ["method", "path", "status", "content", "height", "createdS", "nonce"] as const;
  const mixed = fc
    .tuple(one, one, fc.constantFrom(...keys))
    .map(([a, b, key]) => ({ ...a, claim: { ...a.claim, [key]: b.claim[key] } }));
  const { publicKey } = cast.signer("w2 node");
  const forged = one.map(({ claim, signature }) => ({
    claim: { ...claim, key: publicKey },
    signature,
  }));
  return fc.record({
    kind: fc.constant("wrong-answer" as const),
    receipt: fc.oneof({ weight: 4, arbitrary: one }, mixed, forged),
    proof: proofs(cast),
  });
}
