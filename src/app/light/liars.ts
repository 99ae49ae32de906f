import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as v from "valibot";
import type { Digest } from "../../core/base/index.ts";
import {
  ask,
  askSigned,
  checkReceipt,
  drop,
  type Lie,
  newNonce,
  type Trust,
} from "../client/index.ts";

/** What is remembered of a server that lied. */
export interface LiarRow {
  readonly server: string;
  readonly code: string;
  readonly detail: string;
  readonly times: number;
  /** POSIX milliseconds of the last time. */
  readonly lastMs: number;
  /** Whether a proof that convicts it was brought to the others. */
  readonly isProven: boolean;
}

const rowsSchema = v.array(
  v.object({
    server: v.string(),
    code: v.string(),
    detail: v.string(),
    times: v.number(),
    lastMs: v.number(),
    isProven: v.boolean(),
  }),
);

/** A lie is forgiven after so long: disks are repaired, and names change hands. */
const rememberedMs = 7 * 86_400_000;
/** A server is asked for its signature under a lie this often at most. */
const proveEveryMs = 10_000;

/** Who lied, kept over restarts; and where a host signs its lies, they become proofs. */
export class Liars {
  readonly #file: string;
  readonly #trust: Trust;
  readonly #servers: readonly string[];
  readonly #rows = new Map<string, LiarRow>();
  readonly #provedMs = new Map<string, number>();
  #saving: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly directory: string;
    readonly trust: Trust;
    readonly servers: readonly string[];
  }) {
    const { directory, trust, servers } = options;
    this.#file = join(directory, `${trust.network.group satisfies Digest}.liars.json`);
    this.#trust = trust;
    this.#servers = servers;
  }

  /** What earlier runs wrote; a file that cannot be read says nothing. */
  async load(): Promise<readonly LiarRow[]> {
    try {
      const rows = v.parse(rowsSchema, JSON.parse(await readFile(this.#file, "utf8")));
      for (const row of rows)
        if (row.lastMs > Date.now() - rememberedMs) this.#rows.set(row.server, row);
    } catch {
      // It is a memory, not a proof.
    }
    return this.rows;
  }

  get rows(): readonly LiarRow[] {
    return [...this.#rows.values()];
  }

  remember({ server, code, detail }: Lie): void {
    const before = this.#rows.get(server);
    const times = (before?.times ?? 0) + 1;
    const isProven = before?.isProven ?? false;
    this.#rows.set(server, { server, code, detail, times, lastMs: Date.now(), isProven });
    this.#save();
  }

  /** Asks a liar for the same once more, signed; a signed lie is told to all other servers. */
  async prove(server: string, url: string): Promise<void> {
    const now = Date.now();
    if (now < (this.#provedMs.get(server) ?? 0) + proveEveryMs) return;
    this.#provedMs.set(server, now);
    const answer = await askSigned(this.#trust, `${server}${url}`, newNonce());
    if (answer.receipt === undefined) return;
    const writers = this.#trust.network.writers.map(({ http }) => http);
    const others = [...new Set([...this.#servers, ...writers])].filter((one) => one !== server);
    const checked = await checkReceipt(this.#trust, others, answer.receipt);
    if (checked.kind !== "wrong") return;
    const body = checked.evidence;
    const headers = { "content-type": "application/octet-stream" };
    const told = await Promise.allSettled(
      others.map(async (other) => {
        const { body: said } = await ask(`${other}/.smalti/v1/evidence`, {
          method: "POST",
          headers,
          body,
        });
        drop(said);
      }),
    );
    const row = this.#rows.get(server);
    if (row === undefined || !told.some(({ status }) => status === "fulfilled")) return;
    this.#rows.set(server, { ...row, isProven: true });
    this.#save();
  }

  #save(): void {
    const write = async (): Promise<void> => {
      await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
      const temporary = `${this.#file}.${process.pid}.part`;
      await writeFile(temporary, JSON.stringify(this.rows), { mode: 0o600 });
      await rename(temporary, this.#file);
    };
    this.#saving = this.#saving.then(write).catch(() => undefined);
  }

  /** Resolves once all that is remembered is written. */
  saved(): Promise<void> {
    return this.#saving;
  }
}
