import { setTimeout as sleep } from "node:timers/promises";
import type { Digest } from "../../core/base/index.ts";
import { askJson } from "./transfer.ts";

/** What one writer says of an update that waits until enough writers saw its bytes at their source. */
export interface Witnessed {
  readonly writer: string;
  readonly state: "looking" | "seen" | "refused" | "not-asked" | "silent" | "done";
  readonly detail: string;
}

/** Too few writers saw at the source what the update brings. */
export class NotWitnessedError extends Error {
  override readonly name = "NotWitnessedError";
  readonly code = "NOT_WITNESSED";
  readonly rows: readonly Witnessed[];
  constructor(rows: readonly Witnessed[], observers: number) {
    const told = rows.map(
      ({ writer, state, detail }) => `\n  ${writer}: ${state}${detail === "" ? "" : `: ${detail}`}`,
    );
    super(
      `not admitted: fewer than ${observers} writers saw the same at the source${told.join("")}\nit is admitted if they see it within a day; look at the source and at the [[import]] settings of the writers, then import again`,
    );
    this.rows = rows;
  }
}

const pollMs = 300;
/** A large archive takes writers their time, but not for ever. */
const longestMs = 2 * 3_600_000;

interface Answer {
  readonly state: string;
  readonly witness?: { readonly state: Witnessed["state"]; readonly detail: string };
}

async function askOne(writer: string, id: Digest): Promise<Witnessed> {
  const answer = await askJson<Answer>(`${writer}/.smalti/v1/updates/${id}`, {
    patienceMs: 5000,
  }).catch(() => undefined);
  if (answer === undefined) return { writer, state: "silent", detail: "" };
  if (answer.state === "finished" || answer.state === "settled")
    return { writer, state: "done", detail: "" };
  const { state, detail } = answer.witness ?? { state: "looking", detail: "" };
  return { writer, state, detail };
}

/**
 * Resolves when the order has decided on an update that writers look for themselves. What they say meanwhile is for
 * people: only the receipt proves anything. Throws {@link NotWitnessedError} when for `patienceMs` so many refused that
 * the others are too few, or nobody looks any more and it is not ordered.
 */
export async function untilWitnessed(options: {
  readonly writers: readonly string[];
  readonly id: Digest;
  readonly observers: number;
  readonly patienceMs: number;
  readonly onSeen?: ((rows: readonly Witnessed[]) => void) | undefined;
}): Promise<void> {
  const { writers, id, observers, patienceMs, onSeen } = options;
  const startedMs = Date.now();
  let hopefulMs = startedMs;
  for (;;) {
    const rows = await Promise.all(writers.map((writer) => askOne(writer, id)));
    onSeen?.(rows);
    if (rows.some(({ state }) => state === "done")) return;
    const looking = rows.filter(({ state }) => state === "looking").length;
    const seen = rows.filter(({ state }) => state === "seen").length;
    // Those who saw it need no more time; and one who says for ever that he looks holds nobody up.
    const isOpen = looking > 0 && looking + seen >= observers;
    if (isOpen && Date.now() < startedMs + longestMs) hopefulMs = Date.now();
    if (Date.now() > hopefulMs + patienceMs) throw new NotWitnessedError(rows, observers);
    await sleep(pollMs);
  }
}
