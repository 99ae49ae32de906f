export { BlobError } from "./blob-error.ts";
export { type FileBlobStore, openBlobStore } from "./blob-store.ts";
export { RecentBlobs } from "./recent-blobs.ts";
export { openRecordLog } from "./record-log.ts";
export { type LmdbStateStore, openStateStore } from "./state-store.ts";
