export {
  type Block,
  blockFromWire,
  blockParts,
  blockSigningBytes,
  type CommitVote,
  type DagConfig,
  encodeHeader,
  genesisRef,
  type Header,
  headerBodyDigest,
  headerDigest,
  type Ref,
  refKey,
  type SignedHeader,
  type VerifiedBlock,
  verifyBlock,
  verifySignedHeader,
  wireOf,
} from "./block.ts";
export { readCertificate } from "./certificate.ts";
export {
  type Commit,
  commitDigest,
} from "./commit.ts";
export {
  type CommitRange,
  commitRangeShape,
  verifyCommitRange,
} from "./commit-range.ts";
export { dagForVerifiers, dagOf } from "./configure.ts";
export type { DagEffect, DagInput } from "./effects.ts";
export { leadersOf } from "./graph.ts";
export { DagMachine } from "./machine.ts";
export {
  type DagMessage,
  decodeDagMessage,
  encodeDagMessage,
  isDagMessage,
} from "./messages.ts";
export type { DagMisbehaviour } from "./misbehaviour.ts";
export type { DagRecovery } from "./options.ts";

export { dag, dagConfigOf } from "./protocol.ts";
export {
  blockOf,
  blockRecord,
  nameOf,
} from "./records.ts";
export {
  type CommitRule,
  checkRule,
  commitRule,
  type RuleName,
} from "./rows.ts";
