import { assert, defined } from "../base/index.ts";
import {
  type AcceptedBatch,
  type LogRecord,
  type Protocol,
  recordKey,
} from "../consensus/index.ts";
import type { DueRecord, MirrorState } from "../mirror/index.ts";
import type { CosignGuard } from "./cosigning.ts";
import type { CertifiedPoint, JoinRecord } from "./splitting.ts";

/** The guard file: the last things this host signed, durable before they left it (`dag.md` §2, §12). */
export interface Guard {
  /** The highest place for which it signed in the order. */
  readonly place: number;
  readonly checkpoint: CosignGuard;
  /** The group that this host joined after a split, if it did. */
  readonly joined?: JoinRecord | undefined;
}

/** What a host finds on its disk. */
export interface HostRecovery {
  /** In the order they were written, from the horizon (or the last executed batch) on. */
  readonly records: readonly LogRecord[];
  readonly state: MirrorState;
  /** The last checkpoint that was due. */
  readonly due: DueRecord | undefined;
  /** The newest checkpoint that was certified. */
  readonly certified?: CertifiedPoint | undefined;
  readonly guard: Guard;
  /** False if guard and log cannot vouch for what was signed: the host follows until it is safe. */
  readonly maySign: boolean;
}

/** The batches in the log that the state has not executed yet. */
export function batchesToReplay(
  { records, state }: Pick<HostRecovery, "records" | "state">,
  protocol: Protocol,
): AcceptedBatch[] {
  const named = new Map<string, LogRecord>();
  const batches: AcceptedBatch[] = [];
  for (const record of records) {
    if (record.name !== undefined) named.set(recordKey(record.name), record);
    const { batch } = record;
    if (batch === undefined || batch.index <= state.commit.index) continue;
    const parts = batch.parts.map((name) =>
      defined(named.get(recordKey(name)), "the parts of a batch are in the log before its end"),
    );
    const next = (batches.at(-1)?.index ?? state.commit.index) + 1;
    assert(batch.index === next, "the log has every batch that the state lacks");
    batches.push(protocol.batchOf(record, parts));
  }
  return batches;
}
