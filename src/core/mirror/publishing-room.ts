import { limits, type PublicKey } from "../base/index.ts";

/** What lists of changes add up to. */
interface Lists {
  readonly bytes: number;
  readonly changes: number;
}

const none: Lists = { bytes: 0, changes: 0 };

/**
 * What one commit may publish: as much of one publisher as his longest list may hold, and of all together twice that. A
 * commit is executed as a whole, in memory; and whoever holds many updates back until one commit completes them all delays
 * nobody but himself. What has no room is `busy`.
 */
export class PublishingRoom {
  readonly #byPublisher = new Map<PublicKey, Lists>();
  #all = none;

  /** Takes room for a list of so many bytes, before it is read. */
  takeBytes(publisher: PublicKey, bytes: number): boolean {
    return this.#take(publisher, { bytes, changes: 0 });
  }

  takeChanges(publisher: PublicKey, changes: number): boolean {
    return this.#take(publisher, { bytes: 0, changes });
  }

  #take(publisher: PublicKey, more: Lists): boolean {
    const own = sum(this.#byPublisher.get(publisher) ?? none, more);
    const all = sum(this.#all, more);
    if (!fits(own, 1) || !fits(all, 2)) return false;
    this.#byPublisher.set(publisher, own);
    this.#all = all;
    return true;
  }
}

function sum(a: Lists, b: Lists): Lists {
  return { bytes: a.bytes + b.bytes, changes: a.changes + b.changes };
}

function fits({ bytes, changes }: Lists, times: number): boolean {
  return bytes <= times * limits.changeListBytesMax && changes <= times * limits.changesMax;
}
