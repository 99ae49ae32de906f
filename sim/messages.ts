import type { Result } from "../src/core/base/index.ts";
import {
  type DagMessage,
  decodeDagMessage,
  encodeDagMessage,
  isDagMessage,
} from "../src/core/dag/index.ts";
import {
  decodeHostMessage,
  encodeHostMessage,
  type HostMessage,
} from "../src/core/replica/index.ts";

/** All that is said on a link: cheaters and checks look into it. */
export type PeerMessage = DagMessage | HostMessage;

const hostTypes: ReadonlySet<string> = new Set<HostMessage["type"]>([
  "cosignature",
  "probe",
  "probed",
  "opinion",
  "evidence",
  "split",
]);

function isHostMessage(message: PeerMessage): message is HostMessage {
  return hostTypes.has(message.type);
}

export function encodeMessage(message: PeerMessage): Uint8Array {
  return isHostMessage(message) ? encodeHostMessage(message) : encodeDagMessage(message);
}

/** Reads one frame from a peer. Faults: MALFORMED_*, NOT_CANONICAL. */
export function decodeMessage(frame: Uint8Array): Result<PeerMessage> {
  return isDagMessage(frame) ? decodeDagMessage(frame) : decodeHostMessage(frame);
}
