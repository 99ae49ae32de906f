import { padded } from "../../core/mirror/index.ts";

/** With which the keys of the log's index begin, beside those of the mirror's state (`keySpaces`). */
export const logSpaces = { batch: "c", certificate: "v", place: "r" } as const;

/** Where the store keeps what stands in the log. */
export const logKeys = {
  /** Where a batch stands: see {@link BatchEntry}. */
  batch: (index: number): string => `${logSpaces.batch}/${padded(index)}`,
  /** What certifies the batches up to an index, as its algorithm writes it. */
  certificate: (index: number): string => `${logSpaces.certificate}/${padded(index)}`,
  /** Where the records of a place stand that memory has forgotten. */
  place: (place: number): string => `${logSpaces.place}/${padded(place)}`,
  /** From where a restart reads. */
  replayFrom: "meta/replay-from",
  /** Everything in the log before it was durable once. */
  logEnd: "meta/log-end",
  /** The network whose data this is. */
  group: "meta/group",
} as const;
