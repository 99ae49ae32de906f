export { BlobError, type FileBlobStore, hashFile, openBlobStore } from "./blob-store.ts";
export { replaceFile, syncDirectory } from "./durable.ts";
export {
  createGuard,
  type GuardFile,
  type GuardRow,
  type OpenedGuard,
  openGuard,
} from "./guard-file.ts";
export { lockIdentity } from "./identity-lock.ts";
export { createKeyFile, type KeyRole, type LoadedKey, loadKeyFile } from "./key-files.ts";
export { type FileRecordLog, openRecordLog, type RecordLogOptions } from "./record-log.ts";
export { type LmdbStateStore, openStateStore } from "./state-store.ts";
