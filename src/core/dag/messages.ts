import { type Digest, fromHex, limits, ok, type Result } from "../base/index.ts";
import {
  bytes,
  digest,
  encode,
  fields,
  list,
  natural,
  optional,
  read,
  require,
  type Shape,
  type Value,
} from "../codec/index.ts";
import {
  type Ref,
  refShape,
  refValue,
  type SignedHeader,
  signedHeaderShape,
  signedHeaderValue,
} from "./block.ts";
import { type CommitRange, commitRangeShape, commitRangeValue } from "./commit-range.ts";

/** What writers say to one another for the sake of the order; one message a frame. */
export type DagMessage =
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
  /** Blocks that the sender has and their author does not stand upon: who has others of these slots shows them. */
  | { readonly type: "seen"; readonly refs: readonly Ref[] }
  /** "Which blocks have you from this round on?": from a host that stands still. */
  | { readonly type: "inventory-wanted"; readonly fromRound: number }
  | { readonly type: "inventory"; readonly refs: readonly Ref[] };

/** Numbers of the messages; those between are the host's. */
const codes = {
  hello: 0,
  fetch: 2,
  blocks: 3,
  sync: 4,
  range: 5,
  nudge: 7,
  seen: 13,
  "inventory-wanted": 14,
  inventory: 15,
} as const;

function headerOrNull(signed: SignedHeader | undefined): Value {
  return signed === undefined ? null : signedHeaderValue(signed);
}

/** One frame. */
export function encodeDagMessage(message: DagMessage): Uint8Array {
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
      return encode([codes.nudge]);
    case "sync":
      return encode([codes.sync, message.after]);
    case "range":
      return encode([codes.range, commitRangeValue(message.range)]);
  }
}

const wireShape: Shape<Uint8Array> = bytes(limits.payloadBytesMax + limits.headerBytesMax + 256);

const shapes: Readonly<Record<number, Shape<DagMessage>>> = {
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
  [codes.nudge]: (value, what) => {
    fields(1)(value, what);
    return { type: "nudge" };
  },
  [codes.sync]: (value, what) => ({
    type: "sync",
    after: natural()(fields(2)(value, what)[1], what),
  }),
  [codes.range]: (value, what) => ({
    type: "range",
    range: commitRangeShape(fields(2)(value, what)[1], what),
  }),
};

const messageShape: Shape<DagMessage> = (value, what) => {
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

const numbers: ReadonlySet<number> = new Set(Object.values(codes));

/** Whether a frame is one of these: a block, or a short array that begins with one of their numbers. */
export function isDagMessage(frame: Uint8Array): boolean {
  const [head = 0, code = -1] = frame;
  return head === blockMark || (head > 0x80 && head < 0x98 && numbers.has(code));
}

/** Reads one frame from a peer. Faults: MALFORMED_*, NOT_CANONICAL. */
export function decodeDagMessage(frame: Uint8Array): Result<DagMessage> {
  if (frame[0] === blockMark) return ok({ type: "block", wire: frame.subarray(1) });
  return read(frame, messageShape, "message");
}
