/**
 * What a machine wants of the world after one input: `records`, durable before anything else is done, then `effects`, in
 * order. A machine never lists what must be durable: it is what it says as a record.
 */
export interface Step<Record, Effect> {
  readonly records: readonly Record[];
  readonly effects: readonly Effect[];
}

/** A step in the making. */
export class StepBuilder<Record, Effect> implements Step<Record, Effect> {
  readonly records: Record[] = [];
  readonly effects: Effect[] = [];
}
