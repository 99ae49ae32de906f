import { setTimeout as sleep } from "node:timers/promises";
import { encode } from "../../src/core/codec/index.ts";
import { segmentOf, segmentValue } from "../../src/core/consensus/index.ts";
import type { HostProcess } from "./net.ts";

/** A client that appends through one writer for as long as it is told to, and notes what it was told. */
export class Appender {
  readonly acked = new Map<string, number>();
  isOver = false;
  #count = 0;

  async run(writer: HostProcess): Promise<void> {
    while (!this.isOver) {
      const text = `message ${this.#count++}`;
      const body = encode(segmentValue(segmentOf(0, [Buffer.from(text)])));
      try {
        const signal = AbortSignal.timeout(1500);
        const headers = { "content-type": "application/octet-stream" };
        const url = `${writer.http}/.smalti/v1/log`;
        const response = await fetch(url, { method: "POST", body, headers, signal });
        if (!response.ok) throw new Error(`${response.status}`);
        this.acked.set(text, ((await response.json()) as { index: number }).index);
      } catch {
        await sleep(30);
      }
    }
  }
}
