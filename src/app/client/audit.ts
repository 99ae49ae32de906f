import type { Digest } from "../../core/base/index.ts";
import type { Leaf } from "../../core/mirror/index.ts";
import type { MirrorClient } from "./mirror-client.ts";
import { checkReceipt } from "./proven-lie.ts";
import { askSigned, newNonce } from "./served-receipt.ts";
import { askJson } from "./transfer.ts";
import { isBlob, type Trust, type VerifiedHead, verifyHead } from "./trust.ts";

/** What an audit saw of one file. */
interface Sampled {
  readonly path: string;
  readonly outcome: "right" | "wrong" | "missing" | "no answer";
  readonly detail: string;
  /** Portable proof of a wrong answer, where the mirror signed it. */
  readonly evidence: Uint8Array | undefined;
}

/** What an audit found: what was looked at, and what was wrong. */
export interface AuditReport {
  readonly mirror: string;
  readonly network: Digest;
  /** POSIX milliseconds of the auditor's clock. */
  readonly atMs: number;
  /** The height that the mirror proved, and the newest that was seen anywhere. */
  readonly height: number | undefined;
  readonly newest: number;
  /** Why its height is not proven. */
  readonly problem: string | undefined;
  readonly files: number;
  readonly samples: readonly Sampled[];
}

type File = Extract<Leaf, { kind: "file" }>;

/**
 * Checks a mirror from outside, as any downloader could: its newest state against that of others, and files drawn at
 * random against what the writers certified for the height that it says it serves.
 */
export async function auditMirror(options: {
  readonly trust: Trust;
  /** Reads what is true from others. */
  readonly client: MirrorClient;
  readonly mirror: string;
  /** How many files; all of them if there are no more. */
  readonly sample: number;
  readonly onSample?: (done: number, total: number) => void;
}): Promise<AuditReport> {
  const { trust, client, mirror, sample, onSample } = options;
  const newest = await client.newestHead();
  const shown = await shownBy(trust, mirror);
  const head = shown.head ?? newest;
  const files = await filesAt(client, head);
  const chosen = drawn([...files], sample);
  const samples: Sampled[] = [];
  for (const [path, file] of chosen) {
    samples.push(await sampled({ trust, client, mirror }, { path, file, head }));
    onSample?.(samples.length, chosen.length);
  }
  return {
    mirror,
    network: trust.network.group,
    atMs: Date.now(),
    height: shown.head?.height,
    newest: newest.height,
    problem: shown.problem,
    files: files.size,
    samples,
  };
}

async function shownBy(
  trust: Trust,
  mirror: string,
): Promise<{ readonly head: VerifiedHead | undefined; readonly problem: string | undefined }> {
  try {
    const head = verifyHead(trust, await askJson<unknown>(`${mirror}/.smalti/head`));
    return head.ok
      ? { head: head.value, problem: undefined }
      : { head: undefined, problem: head.error.detail };
  } catch (error) {
    return { head: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}

async function filesAt(
  client: MirrorClient,
  head: VerifiedHead,
): Promise<ReadonlyMap<string, File>> {
  const files = new Map<string, File>();
  for (const { name, entry } of await client.list(head.trees)) {
    if (entry.kind !== "directory") continue;
    for (const [path, leaf] of await client.leavesBelow(entry.root))
      if (leaf.kind === "file") files.set(`${name}/${path}`, leaf);
  }
  return files;
}

/** Some of the items, each as likely as any other (Fisher and Yates). */
function drawn<T>(items: T[], count: number): readonly T[] {
  const most = Math.min(count, items.length);
  const random = new Uint32Array(most);
  for (let at = 0; at < most; at += 16_384)
    crypto.getRandomValues(random.subarray(at, at + 16_384));
  for (let i = 0; i < most; i++) {
    const j = i + ((random[i] ?? 0) % (items.length - i));
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items.slice(0, most);
}

async function sampled(
  by: { readonly trust: Trust; readonly client: MirrorClient; readonly mirror: string },
  { path, file, head }: { readonly path: string; readonly file: File; readonly head: VerifiedHead },
): Promise<Sampled> {
  const url = `${by.mirror}/${path.split("/").map(encodeURIComponent).join("/")}`;
  try {
    const answer = await askSigned(by.trust, url, newNonce());
    const isRight = answer.status === 200 && isBlob(answer.body, file.digest);
    if (isRight) return { path, outcome: "right", detail: "", evidence: undefined };
    if (answer.height > head.height)
      return {
        path,
        outcome: "no answer",
        detail: "it has gone on to another height",
        evidence: undefined,
      };
    const others = by.client.servers.filter((server) => server !== by.mirror);
    const checked =
      answer.receipt === undefined
        ? undefined
        : await checkReceipt(by.trust, others, answer.receipt);
    const evidence = checked?.kind === "wrong" ? checked.evidence : undefined;
    if (answer.status === 200) return { path, outcome: "wrong", detail: "other bytes", evidence };
    return { path, outcome: "missing", detail: `HTTP ${answer.status}`, evidence };
  } catch (error) {
    return {
      path,
      outcome: "no answer",
      detail: error instanceof Error ? error.message : String(error),
      evidence: undefined,
    };
  }
}
