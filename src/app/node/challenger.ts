import { randomBytes } from "node:crypto";
import { encodeEvidence, judge } from "../../core/accountability/index.ts";
import { type Digest, fromBase64, isDigest, isPublicKey, Prng } from "../../core/base/index.ts";
import type { Network } from "../../core/committee/index.ts";
import type { Verifier } from "../../core/crypto/index.ts";
import { readingChanges } from "../../core/mirror/index.ts";
import type { BlobStore } from "../../io/ports/index.ts";
import { askJson } from "../client/index.ts";
import { inTurns } from "../pace/index.ts";
import type { Log, Metrics } from "../telemetry/index.ts";

/** At most one challenge in so long, milliseconds. */
const everyMs = 1000;
/** A proof holds the content itself: larger content is not asked about. */
const contentBytesMax = 2048;

export interface ChallengerParts {
  readonly network: Network;
  readonly verifier: Verifier;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly store: { readonly blobs: BlobStore };
}

/**
 * Asks writers that said `held` whether they have what they say: a hash that only the content gives. A wrong answer
 * convicts; no answer proves nothing, and is counted.
 */
export class Challenger {
  readonly #parts: ChallengerParts;
  readonly #random = new Prng(randomBytes(4).readUInt32BE(0));
  #lastMs = 0;

  constructor(parts: ChallengerParts) {
    this.#parts = parts;
  }

  /** An update was published whose change list is `changes`; those in `heldBy` said that they have all of it. */
  async onPublished(
    changes: Uint8Array,
    heldBy: readonly { readonly name: string; readonly http: string }[],
  ): Promise<Uint8Array | undefined> {
    const nowMs = Date.now();
    const host = heldBy[this.#random.below(Math.max(1, heldBy.length))];
    if (host === undefined || nowMs < this.#lastMs + everyMs) return undefined;
    this.#lastMs = nowMs;
    const content = await this.#contentOf(changes);
    return content === undefined ? undefined : this.challenge(host, content);
  }

  /** Some small content that the update names; the change list itself if it names none. */
  async #contentOf(
    changes: Uint8Array,
  ): Promise<{ readonly digest: Digest; readonly bytes: Uint8Array } | undefined> {
    const list = await inTurns(readingChanges(changes));
    if (!list.ok) return undefined;
    const { blobs } = this.#parts.store;
    const small = list.value.changes.flatMap(({ leaf }) =>
      leaf?.kind === "file" && leaf.size <= contentBytesMax ? [leaf.digest] : [],
    );
    const digest = small[this.#random.below(Math.max(1, small.length))];
    const bytes = digest && (await blobs.read(digest).catch(() => undefined));
    return digest === undefined || bytes === undefined ? undefined : { digest, bytes };
  }

  /** The proof, if the host answers wrongly. */
  async challenge(
    host: { readonly name: string; readonly http: string },
    content: { readonly digest: Digest; readonly bytes: Uint8Array },
  ): Promise<Uint8Array | undefined> {
    const { network, verifier, metrics, log } = this.#parts;
    const nonce = randomBytes(32).toString("hex") as Digest;
    const url = `${host.http}/.smalti/v1/possession/${content.digest}?nonce=${nonce}`;
    const count = (result: string): void => metrics.challenges.inc({ host: host.name, result });
    let said: { key?: unknown; answer?: unknown; signature?: unknown };
    try {
      said = await askJson(url, { patienceMs: 5000 });
    } catch (error) {
      log.debug({ host: host.name, reason: String(error) }, "a challenge was not answered");
      count("unanswered");
      return undefined;
    }
    const signature = typeof said.signature === "string" ? fromBase64(said.signature) : undefined;
    if (!isPublicKey(said.key) || !isDigest(said.answer) || signature?.length !== 64) {
      count("unreadable");
      return undefined;
    }
    const claim = {
      group: network.group,
      key: said.key,
      content: content.digest,
      nonce,
      answer: said.answer,
      signature,
    };
    const wire = encodeEvidence(network, {
      kind: "false-possession",
      claim,
      content: content.bytes,
    });
    const verdict = judge(wire, { network, verifier });
    count(verdict.ok ? "wrong" : "right");
    return verdict.ok ? wire : undefined;
  }
}
