import { constants } from "node:fs";
import { join } from "node:path";
import { fromHex, limits } from "../../core/base/index.ts";
import { bytes, digest, encode, fields, natural, optional, read } from "../../core/codec/index.ts";
import type { JoinRecord } from "../../core/replica/index.ts";
import type { FileSystem } from "../../io/ports/index.ts";

/** What a host joined after a split: it may join one group only, so this outlives everything. */
const fileName = "joined-split";
const fileBytesMax = limits.splitPlanBytesMax + 256;

/** Durable when it resolves. */
export async function writeJoin(
  files: FileSystem,
  directory: string,
  { group, size, plan, wire }: JoinRecord,
): Promise<void> {
  const content = encode([fromHex(group), size, fromHex(plan), wire ?? null]);
  const file = await files.open(join(directory, fileName), constants.O_RDWR | constants.O_CREAT);
  try {
    await file.truncate(0);
    await file.write(content, 0, content.length, 0);
    await file.datasync();
  } finally {
    await file.close();
  }
  await files.syncDirectory(directory);
}

export async function readJoin(
  files: FileSystem,
  directory: string,
): Promise<JoinRecord | undefined> {
  if (!(await files.readdir(directory)).includes(fileName)) return undefined;
  const file = await files.open(join(directory, fileName), constants.O_RDONLY);
  try {
    const content = new Uint8Array(fileBytesMax);
    const { bytesRead } = await file.read(content, 0, fileBytesMax, 0);
    const record = read(
      content.subarray(0, bytesRead),
      (value, what) => {
        const [group, size, plan, wire] = fields(4)(value, what);
        return {
          group: digest(group, `${what}.group`),
          size: natural()(size, `${what}.size`),
          plan: digest(plan, `${what}.plan`),
          wire: optional(bytes(limits.splitPlanBytesMax))(wire, `${what}.wire`) ?? undefined,
        };
      },
      fileName,
    );
    return record.ok ? record.value : undefined;
  } finally {
    await file.close();
  }
}
