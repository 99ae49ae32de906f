export { Archive, type CertifiedHead, type HeadProof } from "./archive.ts";
export type { BlobBase, GatewayHost, HostStatus, PublishDesk } from "./host-api.ts";
export type { Receipt, UpdateStatus } from "./receipt.ts";
export { openGateway } from "./server.ts";
