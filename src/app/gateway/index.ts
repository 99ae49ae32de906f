export type {
  ConvictionRow,
  EvidenceRow,
  MirrorRow,
  OpinionRow,
  OpinionsReport,
} from "./accountability-report.ts";
export type {
  BlobBase,
  FollowedSoFar,
  GatewayHost,
  HostAccountability,
  HostStatus,
  PendingReport,
  PublishDesk,
  WitnessReport,
} from "./host-api.ts";
export { traceOf } from "./mirror-pages.ts";
export { heightAt, snapshotsTree } from "./pinned.ts";

export { configureServer, listenOn, openGateway } from "./server.ts";
export type { GroupRow, HostSplits, PlanRow, SplitsReport } from "./split-report.ts";
export type { TreeHost } from "./tree-host.ts";
export { treeRoutes } from "./tree-routes.ts";
export type { Wait } from "./waiters.ts";
