export { answeringFirst, askAny } from "./any-server.ts";
export { type AuditReport, auditMirror } from "./audit.ts";
export {
  Appender,
  appendMessages,
  type LoggedMessage,
  tailMessages,
  tailOfAny,
} from "./broadcast-client.ts";
export { ChunkSums } from "./chunk-sums.ts";
export { type ChunkedFile, ContentClient } from "./content-client.ts";
export { drop } from "./exchange.ts";
export { ExportError, type ExportResult, exportTree, isUnfinished } from "./export-tree.ts";
export { HashPool } from "./hash-pool.ts";
export {
  ForkError,
  type HighWaterMark,
  MarkFile,
  type MarkStore,
  StaleError,
} from "./high-water.ts";
export { transferMs } from "./large-blob.ts";
export { LocalTreeError } from "./local-error.ts";
export { rootOfLeaves } from "./local-root.ts";
export { type LocalLeaf, scanDirectory, scanFile } from "./local-tree.ts";
export { AbsentError, MirrorClient } from "./mirror-client.ts";
export type { Witnessed } from "./observed.ts";
export { askSums, overlapOf } from "./overlap.ts";
export {
  directoriesAbove,
  isLikeLocal,
  type Plan,
  planPublish,
  refuseMassDeletion,
} from "./plan.ts";
export { checkReceipt } from "./proven-lie.ts";
export {
  ConflictError,
  changePublisher,
  type Published,
  publishChanges,
  RefusedError,
  resubmit,
} from "./publish.ts";
export { ScanCache } from "./scan-cache.ts";
export { askSigned, newNonce } from "./served-receipt.ts";
export { type Lie, NoHonestServerError } from "./server-pool.ts";
export {
  ask,
  askBulk,
  askBytes,
  askJson,
  bulkHead,
  groupsOf,
  readAll,
  readBulk,
  ServerError,
  stallMs,
  stopWith,
} from "./transfer.ts";
export {
  type Trust,
  type VerifiedHead,
  type VerifiedReceipt,
  verifyHead,
  verifyReceipt,
} from "./trust.ts";
export { twoAtOnce } from "./two-at-once.ts";
export type { PublishProgress } from "./upload.ts";
export { walkLocal } from "./walk-local.ts";
