export {
  appendMessages,
  type LoggedMessage,
  tailBatches,
  tailMessages,
} from "./broadcast-client.ts";
export { ExportError, type ExportResult, exportTree } from "./export-tree.ts";
export { type LocalLeaf, LocalTreeError, scanDirectory } from "./local-tree.ts";
export { AbsentError, type Lie, MirrorClient, NoHonestServerError } from "./mirror-client.ts";
export {
  ConflictError,
  changePublisher,
  type Plan,
  type Published,
  type PublishProgress,
  planPublish,
  publishChanges,
  RefusedError,
} from "./publish.ts";
export { ScanCache } from "./scan-cache.ts";
export {
  ask,
  askBulk,
  askBytes,
  askJson,
  bulkHead,
  readAll,
  readBulk,
  ServerError,
} from "./transfer.ts";
export {
  type Trust,
  type VerifiedHead,
  type VerifiedReceipt,
  verifyHead,
  verifyReceipt,
} from "./trust.ts";
