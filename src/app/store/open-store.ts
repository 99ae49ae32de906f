import { rm } from "node:fs/promises";
import { join } from "node:path";
import { nodeFiles, openGuard } from "../../io/files/index.ts";
import {
  type BlobStore,
  type FileSystem,
  type StateStore,
  StorageError,
} from "../../io/ports/index.ts";
import { openBlobStore, openRecordLog, openStateStore } from "../../io/storage/index.ts";
import { durableEnd, failedMarker, HostStore } from "./host-store.ts";

/** What a data directory stands on. */
export interface HostStoreParts {
  readonly files: FileSystem;
  readonly openState: (directory: string) => Promise<StateStore>;
  readonly openBlobs: (directory: string, state: StateStore) => Promise<BlobStore>;
  readonly removeAll: (path: string) => Promise<void>;
}

const onThisMachine: HostStoreParts = {
  files: nodeFiles,
  openState: openStateStore,
  openBlobs: openBlobStore,
  removeAll: (path) => rm(path, { recursive: true, force: true }),
};

/** Opens a host's data directory. `isGuardWhole` is false where the guard was missing or damaged. */
export async function openHostStore(
  directory: string,
  on: HostStoreParts = onThisMachine,
  guardName = "guard",
): Promise<{ readonly store: HostStore; readonly isGuardWhole: boolean }> {
  try {
    return await open(directory, on, guardName);
  } catch (error) {
    throw storageErrorOf(error, directory);
  }
}

/** What the system refused is the operator's to mend; anything else is a bug and stays as it is. */
function storageErrorOf(error: unknown, directory: string): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  const why = `cannot open ${directory}: ${error.message}; mend the disk or its rights and start again`;
  return new StorageError("STORAGE_OPEN_FAILED", why, { cause: error });
}

async function open(
  directory: string,
  on: HostStoreParts,
  guardName: string,
): Promise<{ readonly store: HostStore; readonly isGuardWhole: boolean }> {
  const { files } = on;
  await files.mkdir(directory);
  const stateDirectory = join(directory, "state");
  // Without its log the state vouches for nothing, and its positions would point into records to come.
  const isLogThere = (await files.readdir(join(directory, "log")).catch(() => [])).length > 0;
  if (!isLogThere) await on.removeAll(stateDirectory);
  const state = await on.openState(stateDirectory);
  const log = await openRecordLog({
    directory: join(directory, "log"),
    durable: durableEnd(state),
    files,
  });
  const blobs = await on.openBlobs(join(directory, "blobs"), state);
  const opened = await openGuard(join(directory, guardName), files);
  const { row } = opened;
  const store = new HostStore({
    directory,
    files,
    state,
    blobs,
    log,
    guardFile: opened.guard,
    guard: {
      place: row.round,
      checkpoint: { size: row.checkpointSize, root: row.checkpointRoot },
    },
    isMarked: (await files.readdir(directory)).includes(failedMarker),
  });
  return { store, isGuardWhole: opened.isWhole };
}
