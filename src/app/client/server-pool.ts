import type { Result } from "../../core/base/index.ts";
import { ForkError, StaleError } from "./high-water.ts";
import { ServerError, stallMs } from "./transfer.ts";

/** A server said something that does not verify. */
export interface Lie {
  readonly server: string;
  readonly code: string;
  readonly detail: string;
  /** What it was asked for, if that was a file by its path. */
  readonly url?: string | undefined;
}

/** Lies that are remembered, the newest. */
const liesKept = 256;

/** No server gave an answer that verifies; `lies` says who was refused and why. */
export class NoHonestServerError extends Error {
  override readonly name = "NoHonestServerError";
  readonly code: string;
  readonly lies: readonly Lie[];
  constructor(what: string, lies: readonly Lie[], reasons: readonly string[]) {
    const told = [...lies.map((lie) => `${lie.server}: refused, ${lie.detail}`), ...reasons];
    super(`no server could give ${what}\n  ${told.join("\n  ")}`);
    this.code = lies.length > 0 ? "VERIFICATION_FAILED" : "NO_SERVER";
    this.lies = lies;
  }
}

/** How long a server that did not answer is asked after the others. */
const failedMs = 30_000;

export interface PoolOptions {
  readonly servers: readonly string[];
  readonly onLie?: (lie: Lie) => void;
  /** Milliseconds without a byte after which a server is given up. */
  readonly patienceMs?: number;
}

/** Servers that nobody trusts, and what became known of them. */
export class ServerPool {
  readonly servers: readonly string[];
  readonly patienceMs: number;
  readonly lies: Lie[] = [];
  readonly #onLie: (lie: Lie) => void;
  readonly #liars = new Set<string>();
  /** Servers that did not answer lately, and until when they are asked after the others. */
  readonly #failedUntil = new Map<string, number>();
  /** The same of those that took longer than others for a small answer. */
  readonly #lateUntil = new Map<string, number>();

  constructor({ servers, onLie, patienceMs }: PoolOptions) {
    this.servers = servers.map((server) => server.replace(/\/+$/, ""));
    this.patienceMs = patienceMs ?? stallMs;
    this.#onLie = onLie ?? (() => undefined);
  }

  // biome-ignore lint/complexity/useMaxParams: a lie has these four facts
  lie(server: string, code: string, detail: string, url?: string): Lie {
    const lie = { server, code, detail, url };
    this.#liars.add(server);
    this.lies.push(lie);
    if (this.lies.length > liesKept) this.lies.shift();
    this.#onLie(lie);
    return lie;
  }

  /**
   * The servers in the order in which they are asked: those that were late after the others, then those that did not
   * answer lately, liars last.
   */
  get order(): readonly string[] {
    const now = Date.now();
    const isUntil = (times: ReadonlyMap<string, number>, server: string): boolean =>
      (times.get(server) ?? 0) > now;
    const rank = (server: string): number => {
      if (this.#liars.has(server)) return 3;
      return isUntil(this.#failedUntil, server) ? 2 : isUntil(this.#lateUntil, server) ? 1 : 0;
    };
    return [...this.servers].sort((a, b) => rank(a) - rank(b));
  }

  /** It said nothing while others answered: no fault, but it is asked after them for a while. */
  rememberLate(server: string): void {
    this.#lateUntil.set(server, Date.now() + failedMs);
  }

  /** Remembers who lied before this client was made. */
  distrust(servers: Iterable<string>): void {
    for (const server of servers) this.#liars.add(server);
  }

  /** True for one that lied, or that did not answer lately. */
  isAvoided(server: string): boolean {
    return this.#liars.has(server) || (this.#failedUntil.get(server) ?? 0) > Date.now();
  }

  /** It did not answer as it should; returns what there is to say of it. */
  rememberFailure(server: string, error: unknown): string {
    // A 4xx is an answer: what was asked for is not there.
    if (!(error instanceof ServerError) || error.status < 400 || error.status >= 500)
      this.#failedUntil.set(server, Date.now() + failedMs);
    return error instanceof ServerError ? error.message : `${server}: ${reasonOf(error)}`;
  }

  /**
   * Asks servers one after the other until one gives an answer that verifies; `url` is for a file by its path. With
   * `hedgeMs`, for small answers, the next one is asked too when one says nothing for so long. Throws
   * {@link NoHonestServerError}.
   */
  async first<T>(
    what: string,
    attempt: Attempt<T>,
    { url, hedgeMs }: { readonly url?: string | undefined; readonly hedgeMs?: number } = {},
  ): Promise<T> {
    const told: Told = { lies: [], reasons: [], url };
    const stop = new AbortController();
    try {
      return await this.#race(what, (server) => attempt(server, stop.signal), { told, hedgeMs });
    } finally {
      // Who is still asked need not answer any more.
      stop.abort();
    }
  }

  async #race<T>(
    what: string,
    attempt: (server: string) => Promise<Result<T>>,
    { told, hedgeMs }: { readonly told: Told; readonly hedgeMs: number | undefined },
  ): Promise<T> {
    const asked: Promise<Right<T> | undefined>[] = [];
    const never = new Promise<never>(() => undefined);
    for (const server of this.order) {
      const last = this.#ask(server, attempt, told);
      const earlier = asked.map((one) => one.then((right) => right ?? never));
      asked.push(last);
      last.catch(() => undefined);
      const right = await withinOr(Promise.race([last, ...earlier]), hedgeMs, "late");
      if (right === "late") this.rememberLate(server);
      else if (right !== undefined) return right.value;
    }
    const none = Promise.all(asked).then(() => undefined);
    const right = await Promise.race([...asked.map((one) => one.then((it) => it ?? never)), none]);
    if (right !== undefined) return right.value;
    throw new NoHonestServerError(what, told.lies, told.reasons);
  }

  /** `undefined` if the answer is of no use; what is said of the server is told. */
  async #ask<T>(
    server: string,
    attempt: (server: string) => Promise<Result<T>>,
    { lies, reasons, url }: Told,
  ): Promise<Right<T> | undefined> {
    try {
      const result = await attempt(server);
      if (result.ok) return { value: result.value };
      lies.push(this.lie(server, result.error.code, result.error.detail, url));
    } catch (error) {
      if (error instanceof StaleError || error instanceof ForkError) throw error;
      reasons.push(this.rememberFailure(server, error));
    }
    return undefined;
  }
}

/** Asks one server; it is told when its answer is not waited for any more. */
type Attempt<T> = (server: string, signal: AbortSignal) => Promise<Result<T>>;

/** What became known while servers were asked. */
interface Told {
  readonly lies: Lie[];
  readonly reasons: string[];
  readonly url: string | undefined;
}

interface Right<T> {
  readonly value: T;
}

/** The answer, or `late` if it takes longer; without a bound, the answer. */
async function withinOr<T>(
  answer: Promise<T>,
  ms: number | undefined,
  late: "late",
): Promise<T | "late"> {
  if (ms === undefined) return answer;
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<"late">((resolve) => {
    timer = setTimeout(() => resolve(late), ms);
  });
  return Promise.race([answer, end]).finally(() => clearTimeout(timer));
}

/** So many of the servers answer though fewer than a third of them do not. */
export function quorumOf(servers: number): number {
  return servers - Math.floor((servers - 1) / 3);
}

/** For answers that fit a packet or two: so long a silence says that the server hangs, milliseconds. */
export const smallHedgeMs = 700;

/** What a server said is not so. */
export function wrong(detail: string): Result<never> {
  return { ok: false, error: { code: "WRONG_BYTES", detail } };
}

function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: string } };
  return cause?.code ?? (error instanceof Error ? error.message : String(error));
}
