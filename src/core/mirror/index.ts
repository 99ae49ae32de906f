export { type Conviction, offenceKey } from "./about-hosts.ts";
export {
  type Appended,
  type AppendRecord,
  appendOf,
  readAppend,
  signAppend,
} from "./append.ts";
export {
  blobsOf,
  type Change,
  type ChangeList,
  changesDigest,
  decodeChanges,
  encodeChanges,
  readingChanges,
} from "./changes.ts";
export {
  type DirectoryNode,
  DirectoryStore,
  MissingNodeError,
  type NodeReader,
  nodeDigest,
  readNode,
} from "./directory.ts";
export {
  chunksDigest,
  type Entry,
  fingerprint,
  type Leaf,
  type NamedEntry,
  sameLeaf,
} from "./entry.ts";
export { execute, executing } from "./execute.ts";
export type {
  Executed,
  MirrorConfig,
  MirrorEvent,
  MirrorView,
  OrderedBatch,
  OrderedMessage,
  Writes,
} from "./execution.ts";
export { hashedPath, keySpaces, padded, stateKeys } from "./keys.ts";
export {
  decodeLeaf,
  decodeStateBody,
  encodeLeaf,
  encodeStateBody,
  type LogLeaf,
  type OutcomeCode,
  type StateBody,
  stateDigest,
} from "./leaves.ts";
export { exportCollisions, isTreeName, nameFault, parsePath } from "./path.ts";
export {
  isTreePattern,
  mayWrite,
  type Policy,
  quotaOf,
} from "./policy.ts";
export {
  type ConvictionRecord,
  type DueRecord,
  decodeConviction,
  decodeDue,
  decodeHeightRecord,
  decodeOutcome,
  type HeightRecord,
  type OutcomeRecord,
} from "./records.ts";
export {
  decodeState,
  encodeState,
  genesisState,
  hourMs,
  hourOf,
  type MirrorState,
  type PendingUpdate,
} from "./state.ts";
export { applyChanges, type Difference, differences, leavesOf, lookup } from "./tree.ts";
export {
  encodeHeld,
  messageKinds,
  readPardon,
  readPolicy,
  readUpdate,
  type SignedUpdate,
  signPardon,
  signPolicy,
  signUpdate,
  type UpdateRecord,
  type UpdateSource,
} from "./update.ts";
