import { assert } from "./assert.ts";

/**
 * Every bound of the system, unit last. Reaching one is a defined effect, named beside it;
 * `docs/reference/limits.md` is generated from this object.
 */
export const limits = {
  /** Items of one encoded value from others. A longer one is refused before it is built. */
  decodeItemsMax: 300_000,
  /** Writers of one committee. A larger genesis is refused. */
  committeeWritersMax: 64,
  /** Payload of one block. A larger block is invalid; a writer starts the next one. */
  payloadBytesMax: 524_288,
  /** Messages in one payload that are not plain application messages. A payload with more is invalid. */
  protocolMessagesMax: 1024,
  /** Segments (batches of messages of one kind) in one payload. A payload with more is invalid. */
  segmentsMax: 4096,
  /** One message of the totally ordered broadcast. A larger one is refused with 413. */
  messageBytesMax: 65_536,
  /** One message of any other kind. A payload with a larger one is invalid. */
  protocolMessageBytesMax: 262_144,
  /** Clients of the broadcast whose numbers are remembered. Who was taken longest ago makes room. */
  appendersMax: 65_536,
  /** Encoded header. A larger one is invalid. */
  headerBytesMax: 16_384,
  /** Commit votes in one header. The newest are kept. */
  commitVotesMax: 64,
  /** One proof of misbehaviour. A larger one is kept where it was found, and not ordered. */
  evidenceBytesMax: 262_144,
  /** Proofs against one host that the order takes. Further ones prove nothing new and are ignored. */
  evidencePerHostMax: 16,
  /** Proofs against hosts that are no writers and wait for the order, of each peer's telling. Further ones are refused. */
  strangerProofsMax: 64,
  /** Proofs against hosts that are no writers, of each writer's reporting. The newest takes the place of its oldest. */
  readerProofsPerWriterMax: 1024,
  /** A plan to split, with the opinions it stands on. A longer one is refused. */
  splitPlanBytesMax: 400_000,
  /** Reason of an administrator or an operator, in bytes of UTF-8. */
  reasonBytesMax: 200,
  /** Rounds kept below the last committed leader; older blocks are never ordered. */
  gcRounds: 50,
  /** A pushed block further ahead of the clock than this is dropped and counted. */
  roundsAheadMax: 500,
  /** Blocks waiting for parents, for the sake of one author, and eight rounds of all more. The highest is evicted. */
  suspendedBlocksMax: 150,
  /** Bytes of those blocks, and the payload of one round of all more. Likewise. */
  suspendedBytesMax: 16_777_216,
  /** Bytes of payload waiting to be proposed. Above it `append` and `publish` answer 503. */
  pendingPayloadBytesMax: 16_777_216,
  /** Blocks that one commit orders. The others, of higher rounds, are ordered by the next one. */
  commitBlocksMax: 4096,
  /** Bytes of those blocks. Likewise; so a commit always fits an answer. */
  commitBytesMax: 33_554_432,
  /** Commits behind f+1 writers after which blocks are dropped and commit sync takes over. */
  commitLagMax: 200,
  /** Commits in one commit-sync or follow answer. A longer one is refused; hosts send up to five hundred. */
  syncCommitsMax: 1000,
  /** Bytes in one commit-sync or follow answer; at least one commit is always sent. */
  syncBytesMax: 8_388_608,
  /** Refs in one fetch request. A longer one is a fault of the peer. */
  fetchRefsMax: 64,
  /** Blocks in one inventory: those of the lowest rounds that were asked for. A longer one is a fault of the peer. */
  inventoryRefsMax: 1024,
  /** Bytes of blocks in one fetch answer. */
  fetchBytesMax: 8_388_608,
  /** One frame between hosts. A longer one closes the link. */
  frameBytesMax: 67_108_864,
  /** Bytes queued towards one peer. Above it the link is dropped; the peer catches up by sync. */
  peerQueueBytesMax: 67_108_864,
  /** Bytes accepted from one peer and not yet stepped. Above it reading from the peer pauses. */
  peerInboxBytesMax: 67_108_864,
  /** What a frame counts there beside its length. */
  frameOverheadBytes: 512,
  /** Invalid messages from one peer before its link is closed and it is avoided for a while. */
  peerFaultsMax: 32,
  /** Cosignatures kept per writer for sizes this host has not reached. The oldest is dropped. */
  cosignaturesPendingMax: 64,
  /** Updates accepted and not yet published or refused. For one more, the newest of who has most of them is `busy`. */
  pendingUpdatesMax: 4096,
  /** Those of one publisher. One more is refused as `busy`. */
  pendingPerPublisherMax: 256,
  /** Updates an hour of a publisher for whom an administrator said nothing else. One more is refused as `over-quota`. */
  updatesPerHour: 100_000,
  /** Bytes of a grant: a tree's name, `import:` before it, `*` after it. */
  grantBytesMax: 72,
  /** Bytes of the name of a kind of source that an update comes from. Longer ones are malformed. */
  sourceKindBytesMax: 16,
  /** Bytes of the address of such a source. Longer ones are malformed. */
  sourceUrlBytesMax: 2048,
  /** Order time after which an update that nobody could complete is refused as `expired`. */
  pendingUpdateMs: 86_400_000,
  /** Encoded change list. A larger one is refused; publish in parts. */
  changeListBytesMax: 268_435_456,
  /** Changes in one change list. */
  changesMax: 1_000_000,
  /** Bytes of a change list for each of its changes, beyond the first 64. A denser one is malformed. */
  bytesPerChangeMin: 32,
  /** Bytes of a change list for each directory on the way to its paths, beyond the first 256. A denser one is malformed. */
  bytesPerDirectoryMin: 20,
  /** One component of a path, in bytes of UTF-8. */
  nameBytesMax: 255,
  /** A whole path, in bytes of UTF-8. */
  pathBytesMax: 4096,
  /** Directories in one path. */
  pathDepthMax: 128,
  /** Target of a symbolic link. */
  symlinkBytesMax: 4096,
  /** A proof that can be carried away. A longer one is refused. */
  proofBytesMax: 1_048_576,
  /** A tree's name. */
  treeNameBytesMax: 64,
  /** Publishers known to the policy. */
  publishersMax: 10_000,
  /** Tree patterns of one publisher. */
  grantsMax: 256,
  /** Tree patterns of all publishers together: every host keeps them in its state. A grant beyond is refused. */
  grantsTotalMax: 65_536,
  /** Entries of one bucket of a directory; a fuller one is split sixteen ways. */
  nodeEntriesMax: 16,
  /** Conflicting paths named in a refusal. */
  conflictPathsMax: 100,
  /** Bytes of those paths together: a leaf of the log fits C2SP tlog-tiles, which count it in 16 bits. */
  conflictBytesMax: 32_768,
  /** Blobs up to this size are packed together into segment files. */
  packedBlobBytesMax: 131_072,
  /** One pack file or log segment; the next one is started after it. */
  segmentBytesMax: 268_435_456,
  /** Chunk of a large blob: the unit that is checked before it is served. */
  blobChunkBytes: 262_144,
  /** Largest blob. */
  blobBytesMax: 1_099_511_627_776,
  /** Digests in one bulk request. */
  bulkDigestsMax: 4096,
  /** Bytes in one bulk answer; the rest is asked for again. */
  bulkBytesMax: 33_554_432,
  /** Body of a JSON or record request. */
  requestBytesMax: 1_048_576,
  /** One append request of the broadcast. */
  appendBytesMax: 262_144,
  /** HTTP connections at once; further ones are closed by the listener. */
  httpConnectionsMax: 4096,
  /** Requests of one kind (follow, head, receipt, tail) that wait for news. Beyond, one from where most wait is answered early. */
  httpWaitersMax: 1024,
  /** Large answers (files over 128 KiB, many small ones at once) being sent. Beyond, one that stalls is cut; else 503. */
  httpFlowsMax: 1024,
  /** Requests of one connection that are worked on at once; it is not read meanwhile. */
  httpPipelinedMax: 64,
  /** Bytes of HTTP request headers. */
  httpHeaderBytesMax: 16_384,
} as const;

assert(
  limits.payloadBytesMax + limits.headerBytesMax < limits.fetchBytesMax,
  "one block fits a fetch answer",
);
assert(
  limits.fetchBytesMax + limits.payloadBytesMax < limits.frameBytesMax,
  "an answer fits a frame",
);
const votesBytesMax = limits.committeeWritersMax * limits.headerBytesMax;
assert(
  limits.syncBytesMax + limits.commitBytesMax + votesBytesMax < 0.75 * limits.frameBytesMax,
  "an answer that ends with the largest commit fits a frame, with room for the chain to what is voted for",
);
assert(
  limits.syncBytesMax + limits.payloadBytesMax < limits.frameBytesMax,
  "a sync answer fits a frame",
);
assert(limits.frameBytesMax <= limits.peerInboxBytesMax, "an inbox holds a frame");
assert(limits.evidenceBytesMax <= limits.protocolMessageBytesMax, "a proof is a message");
assert(2 * limits.protocolMessageBytesMax <= limits.payloadBytesMax, "a message fits a block");
assert(limits.appendBytesMax < limits.payloadBytesMax, "an append fits a block");
assert(limits.messageBytesMax <= limits.appendBytesMax, "a message fits an append");
assert(limits.packedBlobBytesMax < limits.bulkBytesMax, "a packed blob fits a bulk answer");
assert(limits.roundsAheadMax > limits.gcRounds, "the window ahead is wider than the one behind");
