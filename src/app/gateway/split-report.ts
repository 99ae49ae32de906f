import type { Digest, Result } from "../../core/base/index.ts";

/** A plan to split, and who agreed to it. */
export interface PlanRow {
  readonly id: string;
  /** Leaves of the log at which both groups would begin, and the height there. */
  readonly size: number;
  readonly height: number;
  readonly sides: readonly (readonly string[])[];
  /** What the two groups would be called. */
  readonly groups: readonly string[];
  readonly joining: readonly string[];
  readonly signed: readonly string[];
  readonly founded: readonly string[];
  /** The plan itself, base64: to be brought to hosts that cannot be reached. */
  readonly wire: string;
}

/** A group that split off. */
export interface GroupRow {
  readonly group: string;
  readonly parent: string;
  readonly size: number;
  readonly height: number;
  readonly members: readonly { readonly name: string; readonly http: string }[];
  /** The founding document, base64. */
  readonly wire: string;
}

/** What a host knows of splits: `/.smalti/splits.json`. */
export interface SplitsReport {
  readonly version: 1;
  readonly host: string;
  readonly network: string;
  /** Groups whose past this one continues, the oldest first, itself last. */
  readonly lineage: readonly string[];
  readonly plans: readonly PlanRow[];
  readonly groups: readonly GroupRow[];
}

/** What a host says of splits, and takes about them. */
export interface HostSplits {
  report(): SplitsReport;
  /** Faults carry stable codes. */
  admit(wire: Uint8Array): Result<{ readonly group: Digest }>;
  isAdmitted(group: Digest): boolean;
}
