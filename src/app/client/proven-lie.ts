import {
  encodeEvidence,
  filePathOf,
  judge,
  type ServedReceipt,
} from "../../core/accountability/index.ts";
import { type Digest, fromBase64, isDigest, isPublicKey, limits } from "../../core/base/index.ts";
import {
  DirectoryStore,
  decodeStateBody,
  lookup,
  MissingNodeError,
  nodeDigest,
} from "../../core/mirror/index.ts";
import { provenEntry, type StateProof } from "../../core/proof/index.ts";
import { askBulk, askBytes, askJson } from "./transfer.ts";
import { type Trust, verifyHead } from "./trust.ts";

/** What certified the state at a height, and the directory nodes on the way to a path; from one server. */
async function stateProofFrom(
  server: string,
  trust: Trust,
  about: { readonly height: number; readonly path: readonly string[] },
): Promise<StateProof | undefined> {
  const json = await askJson<Record<string, unknown>>(
    `${server}/.smalti/head?height=${about.height}`,
  );
  if (!verifyHead(trust, json, about.height).ok) return undefined;
  const bytesOf = (text: unknown): Uint8Array => fromBase64(String(text)) ?? new Uint8Array(0);
  const proof: StateProof = {
    note: String(json["checkpoint"]),
    leafIndex: Number(json["leafIndex"]),
    leaf: bytesOf(json["leaf"]),
    hashes: (json["proof"] as unknown[]).map(bytesOf),
    body: bytesOf(json["body"]),
    nodes: [],
  };
  const body = decodeStateBody(proof.body);
  if (!body.ok) return undefined;
  return { ...proof, nodes: await nodesTo(server, body.value.trees, about.path) };
}

/** Directory nodes from the root of all trees to a path. Throws {@link MissingNodeError} if the server lacks one. */
async function nodesTo(
  server: string,
  trees: Digest | undefined,
  path: readonly string[],
): Promise<readonly Uint8Array[]> {
  const nodes = new Map<Digest, Uint8Array>();
  const store = new DirectoryStore(
    (root) => nodes.get(root),
    () => undefined,
  );
  for (;;) {
    const missing = missingNode(() => lookup(store, trees, path));
    if (missing === undefined) return [...nodes.values()];
    if (nodes.has(missing.root)) throw missing;
    for await (const { bytes } of askBulk(server, "nodes", new Set([missing.root])))
      if (nodeDigest(bytes) === missing.root) nodes.set(missing.root, Buffer.from(bytes));
    if (!nodes.has(missing.root)) throw missing;
  }
}

function missingNode(work: () => void): MissingNodeError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof MissingNodeError) return error;
    throw error;
  }
}

/** What an answer came to, compared with what the writers certified. */
export type Checked =
  | { readonly kind: "right" }
  /** The proof, portable. */
  | { readonly kind: "wrong"; readonly evidence: Uint8Array; readonly detail: string }
  | { readonly kind: "unknown"; readonly detail: string };

/** Checks a signed answer against the certified state of its height, from any of `servers`. */
export async function checkReceipt(
  trust: Trust,
  servers: readonly string[],
  receipt: ServedReceipt,
): Promise<Checked> {
  const path = filePathOf(receipt.claim.path);
  if (path === undefined)
    return { kind: "unknown", detail: "no receipt is given for such a request" };
  const about = { height: receipt.claim.height, path };
  for (const server of servers) {
    const proof = await stateProofFrom(server, trust, about).catch(() => undefined);
    if (proof === undefined || !provenEntry(proof, about, trust).ok) continue;
    const evidence = encodeEvidence(trust.network, { kind: "wrong-answer", receipt, proof });
    const verdict = judge(evidence, { network: trust.network, verifier: trust.verifier });
    return verdict.ok
      ? { kind: "wrong", evidence, detail: verdict.value.detail }
      : { kind: "right" };
  }
  return { kind: "unknown", detail: `nobody proves what height ${about.height} is` };
}

/** Servers that are convicted, with what they did: what others say of them is checked before it is believed. */
export async function convictedAmong(
  trust: Trust,
  heads: ReadonlyMap<string, unknown>,
): Promise<ReadonlyMap<string, string>> {
  const serverOf = serversByKey(trust, heads);
  const convicted = new Map<string, string>();
  for (const [informer, head] of heads) {
    for (const { key, evidence } of accusations(head)) {
      const server = serverOf.get(key);
      if (server === undefined || convicted.has(server)) continue;
      const detail = await proven(trust, `${informer}/.smalti/evidence/${evidence}`, key);
      if (detail !== undefined) convicted.set(server, detail);
    }
  }
  return convicted;
}

/**
 * A writer is known by the address that the genesis has of it, whatever name it gives itself now; of a reader there is
 * nothing but what it says.
 */
function serversByKey(
  { network }: Trust,
  heads: ReadonlyMap<string, unknown>,
): ReadonlyMap<string, string> {
  const serverOf = new Map<string, string>();
  const atWriters = new Map(
    network.writers.map(({ http, nodeKey }) => [http?.replace(/\/+$/, ""), nodeKey]),
  );
  for (const [server, head] of heads) {
    const key = atWriters.get(server.replace(/\/+$/, ""));
    if (key === undefined) serverOf.set(String(fieldOf(head, "host")), server);
  }
  for (const server of heads.keys()) {
    const key = atWriters.get(server.replace(/\/+$/, ""));
    if (key !== undefined) serverOf.set(key, server);
  }
  return serverOf;
}

function fieldOf(json: unknown, name: string): unknown {
  return typeof json === "object" && json !== null
    ? (json as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

/** What a server says of others: a key, and the proof to ask for. */
function accusations(head: unknown): readonly { key: string; evidence: Digest }[] {
  const told = fieldOf(head, "convicted");
  if (!Array.isArray(told)) return [];
  return told.slice(0, limits.committeeWritersMax).flatMap((item: unknown) => {
    const [key, evidence] = [fieldOf(item, "key"), fieldOf(item, "evidence")];
    return isPublicKey(key) && isDigest(evidence) ? [{ key, evidence }] : [];
  });
}

async function proven(trust: Trust, url: string, key: string): Promise<string | undefined> {
  const wire = await askBytes(url, limits.evidenceBytesMax).catch(() => undefined);
  const verdict =
    wire === undefined
      ? undefined
      : judge(new Uint8Array(wire), { network: trust.network, verifier: trust.verifier });
  return verdict?.ok && verdict.value.culprit === key ? verdict.value.detail : undefined;
}
