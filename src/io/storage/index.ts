export { BlobError } from "./blob-error.ts";
export { type FileBlobStore, openBlobStore } from "./blob-store.ts";
export { RecentBlobs } from "./recent-blobs.ts";
export { type FileRecordLog, openRecordLog, type RecordLogOptions } from "./record-log.ts";
export { type LmdbStateStore, openStateStore } from "./state-store.ts";
