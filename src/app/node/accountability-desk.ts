import {
  judge,
  kindName,
  possessionAnswer,
  type ServedClaim,
  type ServedReceipt,
  signPossession,
  signServed,
  type Verdict,
} from "../../core/accountability/index.ts";
import {
  type Author,
  type Digest,
  fail,
  limits,
  ok,
  type PublicKey,
  type Result,
  toBase64,
} from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import { type ConvictionRecord, messageKinds, readPardon } from "../../core/mirror/index.ts";
import {
  type Opinion,
  opinionIn,
  reasonText,
  removals,
  type Statement,
} from "../../core/opinion/index.ts";
import type {
  ConvictionRow,
  EvidenceRow,
  HostAccountability,
  OpinionRow,
  OpinionsReport,
} from "../gateway/index.ts";
import type { Engine, Parts } from "./parts.ts";

/** Statements are signed anew at most so often, milliseconds. */
const signEveryMs = 1000;

/** Rows of proofs that were judged are kept, so many. */
const rowsKept = 4096;

/** What a host shows of what it thinks, and takes from others as proof. */
export class AccountabilityDesk implements HostAccountability {
  readonly #parts: Parts;
  readonly #engine: Engine;
  #signed: { readonly atMs: number; readonly wires: Promise<readonly string[]> } | undefined;

  constructor(parts: Parts, engine: Engine) {
    this.#parts = parts;
    this.#engine = engine;
  }

  #nameOf(key: PublicKey): { readonly host: string; readonly role: "writer" | "reader" } {
    const writer = this.#parts.network.writers.find(({ nodeKey }) => nodeKey === key);
    return writer === undefined
      ? { host: key.slice(0, 16), role: "reader" }
      : { host: writer.name, role: "writer" };
  }

  #writer(author: Author): string {
    return this.#parts.network.writers[author]?.name ?? String(author);
  }

  async report(): Promise<OpinionsReport> {
    const { config, network, core } = this.#parts;
    const { opinions, convicted, commit } = core.role.state;
    const writers = network.writers.map(({ name }) => name);
    const row = (by: Author): Record<string, Opinion> =>
      Object.fromEntries(
        network.writers
          .filter(({ index }) => index !== by)
          .map(({ index, name }) => [name, opinionIn(opinions, by, index)]),
      );
    const matrix = Object.fromEntries(network.writers.map(({ index, name }) => [name, row(index)]));
    const leaving = removals(opinions, { n: writers.length, quorum: network.quorum, convicted });
    return {
      version: 1,
      host: config.moniker,
      network: network.group,
      commit: commit.index,
      writers,
      matrix,
      reasons: [...opinions.values()]
        .filter(({ opinion }) => opinion !== "ok")
        .map((statement) => this.#row(statement)),
      own: this.#own(),
      signed: await this.#signedNow(),
      convicted: this.#convictions(),
      leaving: leaving.map((author) => this.#writer(author)),
    };
  }

  #row({ by, about, opinion, reason }: Statement): OpinionRow {
    return {
      by: this.#writer(by),
      about: this.#writer(about),
      opinion,
      explained: reasonText(opinion, reason),
      sinceMs: reason.sinceMs,
    };
  }

  #own(): readonly OpinionRow[] {
    const { writer, reader } = this.#engine;
    const { moniker } = this.#parts.config;
    if (reader !== undefined) return reader.opinions().map((row) => ({ by: moniker, ...row }));
    return (writer?.vitals.opinions ?? []).map(({ about, opinion, reason }) => ({
      by: moniker,
      about: this.#writer(about),
      opinion,
      explained: reasonText(opinion, reason),
      sinceMs: reason.sinceMs,
    }));
  }

  /** However many ask at once, and however often, it is signed once in a while. */
  #signedNow(): Promise<readonly string[]> {
    const now = Date.now();
    if (this.#signed === undefined || now >= this.#signed.atMs + signEveryMs) {
      const statements = this.#engine.writer?.statements() ?? Promise.resolve([]);
      const wires = statements.then((all) => all.map(({ wire }) => toBase64(wire)));
      this.#signed = { atMs: now, wires };
    }
    return this.#signed.wires;
  }

  #convictions(): readonly ConvictionRow[] {
    const rows: ConvictionRow[] = [];
    for (const [key, record] of this.#parts.core.archive.convictions())
      rows.push({ key, ...this.#nameOf(key), ...rowOf(record, this.#parts.network) });
    return rows;
  }

  /** Few: the whole list is in `opinions.json`. */
  convicted(): readonly { readonly key: PublicKey; readonly evidence: Digest }[] {
    const rows: { key: PublicKey; evidence: Digest }[] = [];
    for (const [key, { pardon, evidence }] of this.#parts.core.archive.convictions())
      if (pardon === "" && rows.length < limits.committeeWritersMax) rows.push({ key, evidence });
    return rows;
  }

  /** Of proofs that the order has. */
  readonly #rows = new Map<Digest, EvidenceRow>();

  #court(): Parameters<typeof judge>[1] {
    return { network: this.#parts.network, verifier: this.#parts.verifier };
  }

  evidence(): readonly EvidenceRow[] {
    const rows: EvidenceRow[] = [];
    for (const [id, wire] of this.#parts.core.archive.evidence()) {
      const row = this.#judged(id, wire);
      if (row !== undefined) rows.push(row);
    }
    const ordered = new Set(rows.map(({ id }) => id));
    for (const verdict of this.#engine.writer?.found ?? [])
      if (!ordered.has(verdict.id)) rows.push(this.#rowOf(verdict, "found"));
    return rows;
  }

  #rowOf(verdict: Verdict, state: EvidenceRow["state"]): EvidenceRow {
    const { id, kind, culprit, detail, wire } = verdict;
    const { host } = this.#nameOf(culprit);
    return { id, kind, host, key: culprit, detail, bytes: wire.length, state };
  }

  /** What a proof in the order shows: that does not change, and whoever asks again need not be told anew. */
  #judged(id: Digest, wire: Uint8Array): EvidenceRow | undefined {
    const known = this.#rows.get(id);
    if (known !== undefined) return known;
    const verdict = judge(wire, this.#court());
    if (!verdict.ok) return undefined;
    const row = this.#rowOf(verdict.value, "ordered");
    if (this.#rows.size >= rowsKept) this.#rows.clear();
    this.#rows.set(id, row);
    return row;
  }

  proof(id: Digest): Uint8Array | undefined {
    const found = this.#engine.writer?.found.find((verdict) => verdict.id === id);
    return this.#parts.core.archive.proofOfMisdeed(id) ?? found?.wire;
  }

  submit(wire: Uint8Array): Result<{ readonly id: Digest; readonly detail: string }> {
    const { writer } = this.#engine;
    if (writer === undefined)
      return fail("NOT_A_WRITER", "this host is a reader; bring the evidence to a writer");
    if (!(wire instanceof Uint8Array) || wire.length === 0)
      return fail("BAD_REQUEST", "the body is the evidence, as application/octet-stream");
    const verdict = judge(wire, this.#court());
    if (!verdict.ok) return verdict;
    writer.push({ type: "evidence", wire: Uint8Array.from(wire) });
    return ok({ id: verdict.value.id, detail: verdict.value.detail });
  }

  pardon(wire: Uint8Array): Result<{ readonly id: Digest }> {
    const { writer } = this.#engine;
    const { network, verifier, core } = this.#parts;
    if (writer === undefined)
      return fail("NOT_A_WRITER", "this host is a reader; bring the pardon to a writer");
    const read = readPardon(wire, network.group, verifier);
    if (!read.ok) return read;
    const { administrator, culprit, evidence } = read.value.record;
    if (!core.role.state.policy.administrators.includes(administrator))
      return fail("NOT_PERMITTED", "the key is not an administrator's");
    const record = core.archive.conviction(culprit);
    if (record === undefined || record.pardon !== "" || record.evidence !== evidence)
      return fail("NOTHING_TO_PARDON", "the host is not convicted, or by a later proof");
    if (writer.whyNot !== undefined) return fail(writer.whyNot.code, writer.whyNot.detail);
    writer.orderSigned(messageKinds.pardon, Uint8Array.from(wire));
    return ok({ id: read.value.id });
  }

  /** The host's signature under an answer to a request for a file. */
  receipt(claim: Omit<ServedClaim, "group" | "key">): ServedReceipt {
    const { network, nodeKey } = this.#parts;
    return signServed({ ...claim, group: network.group, key: nodeKey.publicKey }, nodeKey.signer);
  }

  get key(): PublicKey {
    return this.#parts.nodeKey.publicKey;
  }

  /**
   * Answers a challenge. A host that has the content not, or damaged, does not sign anything: it says so and fetches
   * it again. So no honest disk error can ever convict its host.
   */
  async possession(
    content: Digest,
    nonce: Digest,
  ): Promise<
    Result<{ readonly key: PublicKey; readonly answer: Digest; readonly signature: string }>
  > {
    const { store, network, nodeKey } = this.#parts;
    const size = store.blobs.size(content);
    if (size === undefined) return fail("NOT_FOUND", "this content is not here");
    if (size > limits.packedBlobBytesMax)
      return fail(
        "TOO_LONG",
        `challenges are for content up to ${limits.packedBlobBytesMax} bytes`,
      );
    const bytes = await store.blobs.read(content).catch(() => undefined);
    if (bytes === undefined) {
      this.#parts.core.wantBlob({ digest: content, size });
      return fail("BUSY", "this content is being fetched again");
    }
    const answer = possessionAnswer(nonce, bytes);
    const claim = { group: network.group, key: nodeKey.publicKey, content, nonce, answer };
    const { signature } = signPossession(claim, nodeKey.signer);
    return ok({ key: claim.key, answer, signature: toBase64(signature) });
  }

  /** The operator's word on another writer. Fails for names that are none. */
  say(name: string, opinion: Opinion | undefined): Result<void> {
    const about = this.#parts.network.writers.find((writer) => writer.name === name);
    if (this.#engine.writer === undefined) return fail("NOT_A_WRITER", "this host is a reader");
    if (about === undefined || about.name === this.#parts.config.moniker)
      return fail("UNKNOWN_WRITER", `${name} is not another writer of this network`);
    this.#engine.writer.push({ type: "operator-says", about: about.index, opinion });
    return ok(undefined);
  }
}

function rowOf(
  record: ConvictionRecord,
  network: Network,
): Pick<ConvictionRow, "kind" | "count" | "evidence" | "tsMs" | "pardon"> {
  const { of, count, evidence, tsMs, pardon } = record;
  return { kind: kindName(network, of), count, evidence, tsMs, pardon };
}
