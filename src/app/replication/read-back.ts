import type { AcceptedBatch } from "../../core/consensus/index.ts";
import type { HostStore } from "../store/index.ts";
import type { Log, Metrics } from "../telemetry/index.ts";

/** What execution left in the log; nothing where it cannot be read: it is asked for again. */
export async function readBack(
  {
    store,
    metrics,
    log,
  }: { readonly store: HostStore; readonly metrics: Metrics; readonly log: Log },
  range: { readonly after: number; readonly until: number },
): Promise<readonly AcceptedBatch[]> {
  try {
    return await store.batches.batches(range.after, range.until);
  } catch (error) {
    metrics.dropped.inc({ code: "STORAGE_LOG_CORRUPT" });
    log.error({ reason: String(error) }, "cannot read back what is to be executed");
    return [];
  }
}
