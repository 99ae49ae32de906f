import {
  type CommitRange,
  commitRangeShape,
  commitRangeValue,
  type Ref,
  refShape,
  refValue,
  type SignedHeader,
  signedHeaderShape,
  signedHeaderValue,
} from "../acceptance/index.ts";
import { type Digest, fromHex, limits, ok, type Result } from "../base/index.ts";
import {
  bytes,
  digest,
  encode,
  exactBytes,
  fields,
  list,
  natural,
  optional,
  read,
  require,
  type Shape,
  type Value,
} from "../codec/index.ts";

/** What hosts say to one another on a link; one message a frame. */
export type PeerMessage =
  /** First on every link, both ways. */
  | {
      readonly type: "hello";
      readonly group: Digest;
      readonly epoch: number;
      /** "Send me your own blocks above this round." */
      readonly fromRound: number;
      readonly lastCommit: number;
      /** The newest block of the addressee that the sender has (`dag.md` §12). */
      readonly newestOfYou: SignedHeader | undefined;
      /** The sender's own newest block. */
      readonly newestOfMe: SignedHeader | undefined;
    }
  | { readonly type: "block"; readonly wire: Uint8Array }
  | { readonly type: "fetch"; readonly refs: readonly Ref[] }
  | { readonly type: "blocks"; readonly wires: readonly Uint8Array[] }
  /** "Make one round more": from a writer that returns and has payload. */
  | { readonly type: "nudge" }
  | { readonly type: "sync"; readonly after: number }
  | { readonly type: "range"; readonly range: CommitRange }
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
  /** Blocks that the sender has and their author does not stand upon: who has others of these slots shows them. */
  | { readonly type: "seen"; readonly refs: readonly Ref[] }
  /** "Which blocks have you from this round on?": from a host that stands still. */
  | { readonly type: "inventory-wanted"; readonly fromRound: number }
  | { readonly type: "inventory"; readonly refs: readonly Ref[] }
  /** How the sender stands to a plan to split: the plan, whether it joins, and its signature. */
  | { readonly type: "split"; readonly wire: Uint8Array };

const codes = {
  hello: 0,
  fetch: 2,
  blocks: 3,
  sync: 4,
  range: 5,
  cosignature: 6,
  nudge: 7,
  probe: 8,
  probed: 9,
  opinion: 10,
  evidence: 11,
  split: 12,
  seen: 13,
  "inventory-wanted": 14,
  inventory: 15,
} as const;

function headerOrNull(signed: SignedHeader | undefined): Value {
  return signed === undefined ? null : signedHeaderValue(signed);
}

export function encodeMessage(message: PeerMessage): Uint8Array {
  switch (message.type) {
    case "hello":
      return encode([
        codes.hello,
        fromHex(message.group),
        message.epoch,
        message.fromRound,
        message.lastCommit,
        headerOrNull(message.newestOfYou),
        headerOrNull(message.newestOfMe),
      ]);
    case "block":
      return blockFrame(message.wire);
    case "inventory-wanted":
      return encode([codes[message.type], message.fromRound]);
    case "fetch":
    case "seen":
    case "inventory":
      return encode([codes[message.type], message.refs.map(refValue)]);
    case "blocks":
      return encode([codes.blocks, message.wires]);
    case "nudge":
    case "probe":
    case "probed":
      return encode([codes[message.type]]);
    case "opinion":
    case "evidence":
    case "split":
      return encode([codes[message.type], message.wire]);
    case "sync":
      return encode([codes.sync, message.after]);
    case "range":
      return encode([codes.range, commitRangeValue(message.range)]);
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

const wireShape: Shape<Uint8Array> = bytes(limits.payloadBytesMax + limits.headerBytesMax + 256);

/** A message that is only its type. */
function bare<T extends "nudge" | "probe" | "probed">(type: T): Shape<{ readonly type: T }> {
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

const shapes: Readonly<Record<number, Shape<PeerMessage>>> = {
  [codes.hello]: (value, what) => {
    const [, group, epoch, fromRound, lastCommit, newestOfYou, newestOfMe] = fields(7)(value, what);
    return {
      type: "hello",
      group: digest(group, `${what}.group`),
      epoch: natural()(epoch, `${what}.epoch`),
      fromRound: natural(2 ** 32)(fromRound, `${what}.fromRound`),
      lastCommit: natural()(lastCommit, `${what}.lastCommit`),
      newestOfYou: optional(signedHeaderShape)(newestOfYou, `${what}.newestOfYou`) ?? undefined,
      newestOfMe: optional(signedHeaderShape)(newestOfMe, `${what}.newestOfMe`) ?? undefined,
    };
  },
  [codes.fetch]: (value, what) => ({
    type: "fetch",
    refs: list(refShape, limits.fetchRefsMax)(fields(2)(value, what)[1], what),
  }),
  [codes.blocks]: (value, what) => ({
    type: "blocks",
    wires: list(wireShape, limits.fetchRefsMax)(fields(2)(value, what)[1], what),
  }),
  [codes.seen]: (value, what) => ({
    type: "seen",
    refs: list(refShape, limits.fetchRefsMax)(fields(2)(value, what)[1], what),
  }),
  [codes["inventory-wanted"]]: (value, what) => ({
    type: "inventory-wanted",
    fromRound: natural(2 ** 32 - 1)(fields(2)(value, what)[1], what),
  }),
  [codes.inventory]: (value, what) => ({
    type: "inventory",
    refs: list(refShape, limits.inventoryRefsMax)(fields(2)(value, what)[1], what),
  }),
  [codes.nudge]: bare("nudge"),
  [codes.probe]: bare("probe"),
  [codes.probed]: bare("probed"),
  [codes.opinion]: carrying("opinion", 1024),
  [codes.evidence]: carrying("evidence", limits.evidenceBytesMax),
  [codes.split]: carrying("split", 2 * limits.appendBytesMax),
  [codes.sync]: (value, what) => ({
    type: "sync",
    after: natural()(fields(2)(value, what)[1], what),
  }),
  [codes.range]: (value, what) => ({
    type: "range",
    range: commitRangeShape(fields(2)(value, what)[1], what),
  }),
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

const messageShape: Shape<PeerMessage> = (value, what) => {
  require(Array.isArray(value) && typeof value[0] === "number", `${what} has a type`);
  const shape = shapes[value[0]];
  require(shape !== undefined, `${what} is of a known type`);
  return shape(value, what);
};

/** Blocks are most of what is said: their frames are the block after one byte, decoded once. */
const blockMark = 0xff;

function blockFrame(wire: Uint8Array): Uint8Array {
  const frame = new Uint8Array(wire.length + 1);
  frame[0] = blockMark;
  frame.set(wire, 1);
  return frame;
}

/** Reads one frame from a peer. Faults: MALFORMED_*, NOT_CANONICAL. */
export function decodeMessage(frame: Uint8Array): Result<PeerMessage> {
  if (frame[0] === blockMark) return ok({ type: "block", wire: frame.subarray(1) });
  return read(frame, messageShape, "message");
}
