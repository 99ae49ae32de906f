export { appendMessages, type LoggedMessage, tailBatches, tailMessages } from "./broadcast-client.ts";
export { ExportError, type ExportResult, exportTree } from "./export-tree.ts";
export { type LocalLeaf, LocalTreeError, scanDirectory } from "./local-tree.ts";
export { AbsentError, type Lie, MirrorClient, NoHonestServerError } from "./mirror-client.ts";
export {
  changePublisher,
  ConflictError,
  type Plan,
  planPublish,
  publishChanges,
  type Published,
  type PublishProgress,
  RefusedError,
} from "./publish.ts";
export { ask, askBulk, askBytes, askJson, bulkHead, readAll, readBulk, ServerError } from "./transfer.ts";
export { type Trust, type VerifiedHead, type VerifiedReceipt, verifyHead, verifyReceipt } from "./trust.ts";
