export { Archive, type CertifiedHead, type HeadProof, type PinnedTrees } from "./archive.ts";
export { BatchArchive } from "./batch-archive.ts";
export { HostStore, type Question } from "./host-store.ts";
export { openHostStore } from "./open-store.ts";
