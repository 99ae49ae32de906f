import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

interface Makers {
  readonly gauge: (name: string, help: string, labelNames?: string[]) => Gauge;
  readonly counter: (name: string, help: string, labelNames?: string[]) => Counter;
}

/** Everything that is counted, by the names of docs/reference/metrics.md. */
export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `smalti_${name}`, help, labelNames, registers });
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `smalti_${name}`, help, labelNames, registers });
  return {
    registry,
    height: gauge("height", "Height served as the latest"),
    round: gauge("consensus_round", "Round of the block DAG this host is in"),
    commit: gauge("consensus_commit", "Commits made or adopted"),
    quorumCommit: gauge(
      "consensus_quorum_commit",
      "Commit index that a quorum of writers has reached",
    ),
    messages: gauge("broadcast_messages", "Application messages ordered"),
    /** Of writers alone: a reader that signs nothing is as it should be. */
    signing: gauge("consensus_signing", "1 while this host signs blocks", ["role"]),
    peers: gauge("peers", "Writers with which this host has links"),
    linkBytes: gauge("link_sent_bytes", "Bytes handed to the links with other writers"),
    pendingBytes: gauge("pool_bytes", "Payload that waits to be proposed"),
    waitingBlocks: gauge("waiting_blocks", "Blocks that wait for parents"),
    graphBlocks: gauge("graph_blocks", "Blocks above the horizon"),
    backlog: gauge("execution_backlog", "Batches that wait for a change list"),
    pendingUpdates: gauge("pending_updates", "Updates accepted and not yet published"),
    logSize: gauge("log_size", "Leaves of the certified log"),
    dropped: counter("dropped_total", "Inputs of no effect, by reason", ["code"]),
    refusedLinks: counter(
      "links_refused_total",
      "Connections that were not the writer they claimed",
    ),
    disconnects: counter("peer_disconnects_total", "Links closed because the peer misbehaved", [
      "peer",
    ]),
    gcDeleted: counter("gc_deleted_total", "Blobs removed that no kept height names"),
    gcSeconds: gauge("gc_duration_seconds", "How long the last collection took"),
    evidence: counter("evidence_total", "Proofs of cheating", ["kind", "offender"]),
    ...accountabilityMetrics({ gauge, counter }),
    verifyFailures: counter("verify_failures_total", "Answers of sources that did not verify", [
      "peer",
      "kind",
    ]),
    syncBytes: counter("sync_bytes_total", "Content fetched", ["peer"]),
    syncSeconds: new Histogram({
      name: "smalti_wal_fsync_seconds",
      help: "Time to make log and guard durable",
      buckets: [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1],
      registers,
    }),
  };
}

/** All that a host counts (`docs/reference/metrics.md`). */
export type Metrics = ReturnType<typeof createMetrics>;

/** About other hosts. */
function accountabilityMetrics({ gauge, counter }: Makers) {
  return {
    opinion: gauge("opinion", "Of this host on another writer: 0 ok, 1 suspected, 2 dead", [
      "host",
    ]),
    challenges: counter("challenges_total", "Questions whether a writer has what it holds", [
      "host",
      "result",
    ]),
  };
}
