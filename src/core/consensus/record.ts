/** By which a record is found again: its place in the algorithm's course (a round, a sequence number) and its digest. */
export interface RecordName {
  readonly place: number;
  /** Hexadecimal, 64 digits. */
  readonly digest: string;
}

/**
 * A line of a writer's log. Its bytes are the algorithm's own; the log keeps them, and finds them again by what the
 * record says of itself.
 */
export interface LogRecord {
  /** The algorithm's number for records of this kind, 1…255. */
  readonly type: number;
  readonly bytes: Uint8Array;
  /** Peers may ask for it by this name, however old it is. */
  readonly name?: RecordName;
  /** It completes a batch, which consists of these records in this order, all of them logged before. */
  readonly batch?: { readonly index: number; readonly parts: readonly RecordName[] };
}

/** A batch as it stands in the log: the record that completes it and its parts, or that record alone. */
export interface LoggedBatch {
  readonly record: Uint8Array;
  readonly parts: readonly Uint8Array[] | undefined;
}

/** What convinces anybody of the batches up to an index. Its bytes are the algorithm's own. */
export interface Certificate {
  readonly index: number;
  readonly bytes: Uint8Array;
}

/** The name as one text, for maps. */
export function recordKey({ place, digest }: RecordName): string {
  return `${place}:${digest}`;
}
