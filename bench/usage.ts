import { readFileSync } from "node:fs";

/** CPU seconds and resident bytes of a process, from /proc. */
export interface Usage {
  readonly cpuS: number;
  readonly rssBytes: number;
  readonly peakBytes: number;
  /** Of the resident bytes, those that are not pages of files, which the kernel can take back. */
  readonly anonymousBytes: number;
}

const ticksPerSecond = 100;

export function usageOf(pid: number): Usage {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024;
  return {
    cpuS: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    rssBytes: kib("VmRSS"),
    peakBytes: kib("VmHWM"),
    anonymousBytes: kib("RssAnon"),
  };
}
