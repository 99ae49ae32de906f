import { limits, type Result } from "../base/index.ts";
import {
  bytes,
  encode,
  exactBytes,
  fields,
  natural,
  read,
  require,
  type Shape,
} from "../codec/index.ts";

/** What hosts say to one another beside what the order needs; one message a frame. */
export type HostMessage =
  | {
      readonly type: "cosignature";
      readonly size: number;
      readonly root: Uint8Array;
      readonly timeS: number;
      readonly signature: Uint8Array;
    }
  /** "Are you there?": to a writer whose blocks do not come. */
  | { readonly type: "probe" }
  | { readonly type: "probed" }
  /** A signed opinion that could not be ordered yet. */
  | { readonly type: "opinion"; readonly wire: Uint8Array }
  /** A proof of misbehaviour. */
  | { readonly type: "evidence"; readonly wire: Uint8Array }
  /** How the sender stands to a plan to split: the plan, whether it joins, and its signature. */
  | { readonly type: "split"; readonly wire: Uint8Array };

/** Numbers of the messages; those between are the order's. */
const codes = {
  cosignature: 6,
  probe: 8,
  probed: 9,
  opinion: 10,
  evidence: 11,
  split: 12,
} as const;

/** One frame. */
export function encodeHostMessage(message: HostMessage): Uint8Array {
  switch (message.type) {
    case "probe":
    case "probed":
      return encode([codes[message.type]]);
    case "opinion":
    case "evidence":
    case "split":
      return encode([codes[message.type], message.wire]);
    case "cosignature":
      return encode([
        codes.cosignature,
        message.size,
        message.root,
        message.timeS,
        message.signature,
      ]);
  }
}

/** A message that is only its type. */
function bare<T extends "probe" | "probed">(type: T): Shape<{ readonly type: T }> {
  return (value, what) => {
    fields(1)(value, what);
    return { type };
  };
}

function carrying<T extends "opinion" | "evidence" | "split">(
  type: T,
  bytesMax: number,
): Shape<{ readonly type: T; readonly wire: Uint8Array }> {
  return (value, what) => ({ type, wire: bytes(bytesMax)(fields(2)(value, what)[1], what) });
}

const shapes: Readonly<Record<number, Shape<HostMessage>>> = {
  [codes.probe]: bare("probe"),
  [codes.probed]: bare("probed"),
  [codes.opinion]: carrying("opinion", 1024),
  [codes.evidence]: carrying("evidence", limits.evidenceBytesMax),
  [codes.split]: carrying("split", 2 * limits.appendBytesMax),
  [codes.cosignature]: (value, what) => {
    const [, size, root, timeS, signature] = fields(5)(value, what);
    return {
      type: "cosignature",
      size: natural()(size, `${what}.size`),
      root: exactBytes(32)(root, `${what}.root`),
      timeS: natural(2 ** 48 - 1)(timeS, `${what}.timeS`),
      signature: exactBytes(64)(signature, `${what}.signature`),
    };
  },
};

const messageShape: Shape<HostMessage> = (value, what) => {
  require(Array.isArray(value) && typeof value[0] === "number", `${what} has a type`);
  const shape = shapes[value[0]];
  require(shape !== undefined, `${what} is of a known type`);
  return shape(value, what);
};

/** Reads one frame that is none of the order's. Faults: MALFORMED_*, NOT_CANONICAL. */
export function decodeHostMessage(frame: Uint8Array): Result<HostMessage> {
  return read(frame, messageShape, "message");
}
