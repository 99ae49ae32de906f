// Loaded before a program (`node --import`): dies by SIGKILL at its k-th durable step, before, after or amid it.
// SMALTI_FAILPOINT=STEP:MODE, MODE one of before, after, torn, power (what was not synced is taken back first).
import fs, { readFileSync, rmSync, writeFileSync } from "node:fs";
import promises, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { dirname, resolve } from "node:path";

const [stepText = "0", mode = "before"] = (process.env["SMALTI_FAILPOINT"] ?? "").split(":");
const fatalStep = Number(stepText);
let step = 0;

type Call = (...args: unknown[]) => Promise<unknown>;

/** What a power cut would leave of the files that were opened for writing, and of their names. */
const durable = new Map<string, { content: Buffer; isNamed: boolean }>();
const pathOf = new WeakMap<FileHandle, string>();
/** Of the handles, for what is done on the spot. */
const pathOfFd = new Map<number, string>();

function bytesOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}

function takeBack(): void {
  for (const [path, { content, isNamed }] of durable) {
    if (isNamed) writeFileSync(path, content);
    else rmSync(path, { force: true });
  }
}

function die(): void {
  if (mode === "power") takeBack();
  process.kill(process.pid, "SIGKILL");
}

/** Counts a step; dies at the fatal one, before or after what it does. */
function counted(call: Call, torn?: (self: unknown, args: unknown[]) => Promise<unknown>): Call {
  return async function (this: unknown, ...args) {
    if (++step !== fatalStep) return call.apply(this, args);
    if (mode === "after") await call.apply(this, args);
    if (mode === "torn" && torn !== undefined) await torn(this, args);
    die();
    return new Promise(() => undefined);
  };
}

function patch(on: Record<string, Call>, name: string, make: (call: Call) => Call): void {
  const call = on[name];
  if (call !== undefined) on[name] = make(call);
}

const probe = await promises.open(process.execPath, "r");
const handles = Object.getPrototypeOf(probe) as Record<string, Call>;
await probe.close();
const { write } = handles;

/** Half of what was to be written: `writev(parts, at)` or `write(bytes, offset, length, at)`. */
async function half(self: unknown, args: unknown[]): Promise<unknown> {
  const [first, offset, length, position] = args;
  const isMany = Array.isArray(first);
  const whole = isMany
    ? Buffer.concat(first as Uint8Array[])
    : (first as Uint8Array).subarray(Number(offset), Number(offset) + Number(length));
  const at = isMany ? offset : position;
  return write?.call(self, whole, 0, Math.floor(whole.length / 2), at);
}

function synced(call: Call): Call {
  return async function (this: unknown, ...args) {
    const path = pathOf.get(this as FileHandle);
    const content = path === undefined ? undefined : bytesOf(path);
    const result = await call.apply(this, args);
    nowDurable(path, content);
    return result;
  };
}

function nowDurable(path: string | undefined, content: Buffer | undefined): void {
  const known = path === undefined ? undefined : durable.get(path);
  if (known !== undefined && content !== undefined) known.content = content;
  if (path !== undefined && known === undefined)
    for (const [name, file] of durable) if (dirname(name) === path) file.isNamed = true;
}

type SpotCall = (fd: number, ...args: unknown[]) => unknown;

/** As {@link counted}, for what is done on the spot. */
function countedOnTheSpot(call: SpotCall, torn: SpotCall): SpotCall {
  return (fd, ...args) => {
    if (++step !== fatalStep) return call(fd, ...args);
    if (mode === "after") call(fd, ...args);
    if (mode === "torn") torn(fd, ...args);
    return die();
  };
}

/** Half of `writevSync(fd, parts, at)`. */
const halfOnTheSpot: SpotCall = (fd, parts, at) => {
  const whole = Buffer.concat(parts as Uint8Array[]);
  fs.writeSync(fd, whole, 0, Math.floor(whole.length / 2), at as number);
};

function syncedOnTheSpot(call: SpotCall): SpotCall {
  return (fd, ...args) => {
    const path = pathOfFd.get(fd);
    const content = path === undefined ? undefined : bytesOf(path);
    call(fd, ...args);
    nowDurable(path, content);
  };
}

for (const name of ["write", "writev"]) patch(handles, name, (call) => counted(call, half));
for (const name of ["datasync", "sync"]) patch(handles, name, (call) => counted(synced(call)));
patch(handles, "truncate", counted);

const calls = promises as unknown as Record<string, Call>;
for (const name of ["rename", "unlink", "link", "rm"]) patch(calls, name, (call) => counted(call));
patch(calls, "open", (call) => async (...args) => {
  const path = resolve(String(args[0]));
  const before = bytesOf(path);
  const isNew = before.length === 0 && !durable.has(path);
  const handle = (await call(...args)) as FileHandle;
  pathOf.set(handle, path);
  pathOfFd.set(handle.fd, path);
  const stat = await handle.stat();
  // What was there before this program is taken for durable.
  if (stat.isFile() && !durable.has(path)) durable.set(path, { content: before, isNamed: !isNew });
  return handle;
});
const spot = fs as unknown as Record<"writevSync" | "fdatasyncSync", SpotCall>;
spot.writevSync = countedOnTheSpot(spot.writevSync, halfOnTheSpot);
spot.fdatasyncSync = countedOnTheSpot(syncedOnTheSpot(spot.fdatasyncSync), () => undefined);
syncBuiltinESMExports();
