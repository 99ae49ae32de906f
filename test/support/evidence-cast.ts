import { type Signatures, signaturesOf } from "../../sim/crypto.ts";
import {
  type Court,
  type Evidence,
  possessionAnswer,
  type ServedClaim,
  type ServedReceipt,
  signPossession,
  signServed,
} from "../../src/core/accountability/index.ts";
import { Author, type Digest, Height, Round } from "../../src/core/base/index.ts";
import { type Network, networkOf } from "../../src/core/committee/index.ts";
import { encodePayload, segmentOf } from "../../src/core/consensus/index.ts";
import {
  append,
  cosign,
  emptyFrontier,
  inclusionProof,
  rootOf,
  type Signer,
  sha256,
  sha256Bytes,
  type Verifier,
  writeNote,
} from "../../src/core/crypto/index.ts";
import {
  blockSigningBytes,
  type DagMisbehaviour,
  dag,
  encodeHeader,
  genesisRef,
  type Header,
  headerBodyDigest,
  headerDigest,
  type SignedHeader,
  wireOf,
} from "../../src/core/dag/index.ts";
import {
  DirectoryStore,
  type Entry,
  encodeLeaf,
  encodeStateBody,
  stateDigest,
} from "../../src/core/mirror/index.ts";
import type { StateProof } from "../../src/core/proof/index.ts";

export const digestOf = (text: string): Digest => sha256(Buffer.from(text));
export const rootOfText = (text: string): Uint8Array => sha256Bytes(Buffer.from(text));

/** A network with the keys of all its hosts: what honest hosts and cheats of the tests sign with. */
export interface Cast {
  readonly network: Network;
  readonly court: Court;
  readonly verifier: Verifier;
  readonly signer: Signatures["signer"];
}

export function castOf(
  n = 4,
  { isReal = false, name = "cast" }: { readonly isReal?: boolean; readonly name?: string } = {},
): Cast {
  const { signer, verifier } = signaturesOf(isReal);
  const f = Math.floor((n - 1) / 3);
  const key = (role: string) => signer(role).publicKey;
  const made = networkOf(
    {
      name,
      timeMs: 1_700_000_000_000,
      faults: { n, f, c: 0, k: 0 },
      consensus: { algorithm: dag.name, parameters: { rule: "three", leadersPerRound: 1 } },
      writers: Array.from({ length: n }, (_, i) => ({
        name: `w${i}`,
        nodeKey: key(`w${i} node`),
        blockKey: key(`w${i} block`),
        cosignKey: key(`w${i} cosign`),
        address: `w${i}:1`,
        http: `http://w${i}`,
      })),
      administrators: [key("administrator")],
      publishers: [],
    },
    [dag],
  );
  if (!made.ok) throw new Error("no such network");
  return { network: made.value, court: { network: made.value, verifier }, verifier, signer };
}

export interface BlockRecipe {
  readonly author: number;
  readonly round: number;
  readonly text?: string;
  readonly votes?: number;
  /** What a cheat changes before it signs. */
  readonly change?: Partial<Header>;
  readonly payload?: Uint8Array;
}

export interface MadeBlock {
  readonly signed: SignedHeader;
  readonly payload: Uint8Array;
  readonly wire: Uint8Array;
}

/** A block as its author signs it: valid, unless the recipe changes it. */
export function blockOf({ network, signer }: Cast, recipe: BlockRecipe): MadeBlock {
  const { author, round, text = "", votes = 0 } = recipe;
  const segments = text === "" ? [] : [segmentOf(0, [Buffer.from(text)])];
  const payload = recipe.payload ?? encodePayload(segments);
  const parentOf = (other: number) =>
    round === 1
      ? genesisRef(network, Author(other))
      : {
          round: Round(round - 1),
          author: Author(other),
          digest: digestOf(`block ${round - 1} of ${other}`),
        };
  const others = network.writers.map(({ index }) => index).filter((index) => index !== author);
  const header: Header = {
    group: network.group,
    epoch: network.epoch,
    author: Author(author),
    round: Round(round),
    tsMs: 1_700_000_001_000,
    parents: [author, ...others].map(parentOf),
    payload: { digest: sha256(payload), bytes: payload.length, segments: segments.length },
    commitVotes: Array.from({ length: votes }, (_, i) => ({
      index: i + 1,
      digest: digestOf(`commit ${i}`),
    })),
    ...recipe.change,
  };
  const bytes = encodeHeader(header);
  const message = blockSigningBytes(headerDigest(header, bytes));
  const signed = { bytes, signature: signer(`w${author} block`).sign(message) };
  return { signed, payload, wire: wireOf(signed, payload) };
}

/** What a writer did in the DAG, as evidence. */
export function ofDag(proof: DagMisbehaviour): Evidence {
  return { kind: "consensus", proof };
}

/** A block as one half of an equivocation. */
export const halfOf = ({ signed }: Pick<MadeBlock, "signed">) => ({
  body: headerBodyDigest(signed.bytes),
  signature: signed.signature,
});

export interface CosignRecipe {
  readonly author: number;
  readonly size: number;
  readonly root: Uint8Array;
  readonly timeS?: number;
}

export function cosigned({ network, signer }: Cast, recipe: CosignRecipe) {
  const { author, size, root, timeS = 1_700_000_000 } = recipe;
  const name = network.cosigners[author]?.name ?? "";
  const by = { name, signer: signer(`w${author} cosign`), timeS };
  return { root, timeS, signature: cosign({ origin: network.origin, size, root }, by).signature };
}

/** What the writers certified: at height 7 two files, a link, a directory; at height 8 one file is another, one is gone. */
export const contents = {
  file: Buffer.from("the file"),
  deep: Buffer.from("the deep file"),
  later: Buffer.from("the file as it is later"),
  /** Of no height: what a slanderer would have stood there. */
  never: Buffer.from("what never stood there"),
};
export const heights = [7, 8] as const;
export type PublishedHeight = (typeof heights)[number];
const leafIndexOf = { 7: 3, 8: 5 } as const;

function stateAt(height: PublishedHeight, isForged = false) {
  const nodes: Uint8Array[] = [];
  const store = new DirectoryStore(
    () => undefined,
    (_, node) => nodes.push(node),
  );
  const directory = (entries: Readonly<Record<string, Entry>>): Entry => {
    const made = store.edit(undefined, new Map(Object.entries(entries)));
    if (made === undefined) throw new Error("an empty directory");
    return { kind: "directory", ...made };
  };
  const file = (content: Uint8Array): Entry => ({
    kind: "file",
    digest: sha256(content),
    size: content.length,
    executable: false,
  });
  const sub = directory({ deep: file(contents.deep) });
  const certified = height === 7 ? contents.file : contents.later;
  const tree = directory({
    "a file": file(isForged ? contents.never : certified),
    link: { kind: "link", target: "a file" },
    ...(height === 7 ? { sub } : {}),
  });
  const trees = directory({ alpha: tree });
  const body = {
    height: Height(height),
    trees: trees.kind === "directory" ? trees.root : undefined,
    policy: digestOf("policy"),
  };
  const leaf = encodeLeaf({
    kind: "state",
    height: body.height,
    state: stateDigest(body),
    tsMs: 1_700_000_000_500,
  });
  return { leaf, body: encodeStateBody(body), nodes };
}

/** The proof of what stood at a height, certified by a quorum; a forged one by all but one of such. */
export function published(
  by: Pick<Cast, "network" | "signer">,
  height: PublishedHeight = 7,
  isForged = false,
): StateProof {
  const leafIndex = leafIndexOf[height];
  const log = logOf(6, isForged);
  const checkpoint = { origin: by.network.origin, size: log.size, root: log.root };
  return {
    ...stateAt(height, isForged),
    leafIndex,
    hashes: inclusionProof(leafIndex, log.size, log.read),
    note: noteOf(by, checkpoint, by.network.quorum - (isForged ? 1 : 0)),
  };
}

/** The log of the tests up to a size; both states are in it once it is long enough. */
export function logOf(size: number, isForged = false) {
  const stored = new Map<string, Uint8Array>();
  const states = new Map<number, Uint8Array>(
    heights.map((height) => [leafIndexOf[height], stateAt(height, isForged).leaf]),
  );
  let log = emptyFrontier;
  for (let i = 0; i < size; i++) {
    const grown = append(log, states.get(i) ?? Buffer.from(`leaf ${i}`));
    log = grown.frontier;
    for (const { level, index, hash } of grown.stored) stored.set(`${level}/${index}`, hash);
  }
  const read = (level: number, index: number) =>
    stored.get(`${level}/${index}`) ?? new Uint8Array(32);
  return { size, root: rootOf(log), read };
}

/** A checkpoint with the cosignatures of the first `count` writers. */
export function noteOf(
  { network, signer }: Pick<Cast, "network" | "signer">,
  checkpoint: { readonly origin: string; readonly size: number; readonly root: Uint8Array },
  count = network.quorum,
): string {
  const cosignatures = network.cosigners
    .slice(0, count)
    .map(({ name }, i) =>
      cosign(checkpoint, { name, signer: signer(`w${i} cosign`), timeS: 1_700_000_000 + i }),
    );
  return writeNote(checkpoint, cosignatures, network.cosigners);
}

/** An answer as the host with the node key of `name` signs it. */
export function served(
  { network, signer }: Pick<Cast, "network" | "signer">,
  claim: Partial<ServedClaim>,
  node = "w1 node",
): ServedReceipt {
  const by: Signer = signer(node);
  return signServed(
    {
      group: network.group,
      key: by.publicKey,
      method: "GET",
      path: "/alpha/a%20file",
      status: 200,
      content: sha256(contents.file),
      height: 7,
      createdS: 1_700_000_002,
      nonce: "",
      ...claim,
    },
    by,
  );
}

/** An answer to a challenge about a content, from the bytes that its host takes for it. */
export function possessed(
  { network, signer }: Pick<Cast, "network" | "signer">,
  { content, has, nonce }: { content: Uint8Array; has: Uint8Array; nonce: string },
) {
  const by = signer("w1 node");
  const asked = digestOf(nonce);
  return signPossession(
    {
      group: network.group,
      key: by.publicKey,
      content: sha256(content),
      nonce: asked,
      answer: possessionAnswer(asked, has),
    },
    by,
  );
}
