import { fail, ok, type Result } from "../../core/base/index.ts";
import {
  type AcceptedBatch,
  messageCount,
  messagesOf,
  type Segment,
  segmentOf,
} from "../../core/consensus/index.ts";
import { type Appended, appendOf, messageKinds } from "../../core/mirror/index.ts";
import type { Archive, HostStore } from "../store/index.ts";
import type { Signal } from "./signal.ts";

/** Bytes of recent messages that are kept in memory for those who follow live. */
const recentBytesMax = 16 * 1024 * 1024;
/** What a piece takes beside its bytes. */
const pieceBytes = 1024;

/** Time after which a quiet stream says that it lives, milliseconds. */
const heartbeatMs = 15_000;

/** Where messages stand in the order. */
export interface Place {
  readonly index: number;
  readonly count: number;
}

/** The application messages of one commit. */
interface Piece {
  readonly commit: number;
  readonly first: number;
  readonly count: number;
  readonly segments: readonly Segment[];
  readonly bytes: number;
}

/** The totally ordered broadcast as its readers see it: messages by index, from disk or live. */
export class MessageFeed {
  readonly #store: HostStore;
  readonly #archive: Archive;
  readonly #news: Signal;
  /** Accepted, not executed yet. */
  readonly #accepted = new Map<number, AcceptedBatch>();
  #recent: Piece[] = [];
  #recentBytes = 0;
  #next: number;

  constructor(options: {
    readonly store: HostStore;
    readonly archive: Archive;
    readonly news: Signal;
    readonly next: number;
  }) {
    this.#store = options.store;
    this.#archive = options.archive;
    this.#news = options.news;
    this.#next = options.next;
  }

  /** Index that the next message will have. */
  get next(): number {
    return this.#next;
  }

  accepted(batch: AcceptedBatch): void {
    this.#accepted.set(batch.index, batch);
  }

  /** Returns where this host's own submissions ended up: ticket → index of the first message. */
  executed(
    commit: number,
    first: number,
    appends: readonly (Appended | undefined)[],
  ): ReadonlyMap<number, Result<Place>> {
    const own = new Map<number, Result<Place>>();
    const batch = this.#accepted.get(commit);
    this.#accepted.delete(commit);
    if (batch === undefined) return own;
    const plain = entriesOf(batch, messageKinds.application);
    let index = first;
    for (const { segment, ticket } of plain) {
      if (ticket !== 0) own.set(ticket, ok({ index, count: messageCount(segment) }));
      index += messageCount(segment);
    }
    const segments = plain.map(({ segment }) => segment);
    let append = 0;
    for (const { segment, ticket } of entriesOf(batch, messageKinds.append)) {
      const places = appends.slice(append, append + messageCount(segment));
      append += places.length;
      const [place] = places;
      if (ticket !== 0) own.set(ticket, placeOf(place));
      segments.push(...newMessages(segment, (nth) => places[nth]?.isNew === true));
    }
    const count = segments.reduce((sum, segment) => sum + messageCount(segment), 0);
    if (count > 0) this.#keep({ commit, first, count, segments, bytes: bytesOf(segments) });
    return own;
  }

  #keep(piece: Piece): void {
    this.#next = piece.first + piece.count;
    this.#recent.push(piece);
    this.#recentBytes += piece.bytes + pieceBytes;
    while (this.#recentBytes > recentBytesMax && this.#recent.length > 1) {
      this.#recentBytes -= (this.#recent.shift()?.bytes ?? 0) + pieceBytes;
    }
  }

  /** Messages from an index on, for ever. */
  async *tail(
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<{ first: number; segments: readonly Segment[] }> {
    let next = from;
    // An empty batch now and then: the reader sees that the stream lives, and so does what stands between.
    yield { first: next, segments: [] };
    let saidMs = performance.now();
    while (!signal.aborted) {
      if (performance.now() - saidMs > heartbeatMs) {
        saidMs = performance.now();
        yield { first: next, segments: [] };
      }
      const piece = next < this.#next ? await this.#pieceWith(next) : undefined;
      if (piece === undefined) {
        await this.#news.next(1000);
        continue;
      }
      yield { first: next, segments: dropMessages(piece.segments, next - piece.first) };
      next = piece.first + piece.count;
    }
  }

  async #pieceWith(index: number): Promise<Piece | undefined> {
    const recent = this.#recent.find(
      (piece) => piece.first <= index && index < piece.first + piece.count,
    );
    return recent ?? this.#fromDisk(index);
  }

  async #fromDisk(index: number): Promise<Piece | undefined> {
    const place = this.#archive.messageCommit(index);
    if (place === undefined) return undefined;
    const batch = await this.#store.batches.batch(place.commit);
    const all = batch?.payloads.flatMap(({ segments }) => segments) ?? [];
    const isNew = this.#archive.appended(place.commit);
    let append = 0;
    const numbered = all
      .filter(({ kind }) => kind === messageKinds.append)
      .flatMap((segment) => newMessages(segment, () => isNew[append++] === 1));
    const segments = [...all.filter(({ kind }) => kind === messageKinds.application), ...numbered];
    const count = segments.reduce((sum, segment) => sum + messageCount(segment), 0);
    return { commit: place.commit, first: place.first, count, segments, bytes: 0 };
  }
}

function placeOf(place: Appended | undefined): Result<Place> {
  return place === undefined
    ? fail("OLD_SEQUENCE", "this number of the client is not remembered any more")
    : ok({ index: place.first, count: place.count });
}

/** Segments of a kind in their order, with the tickets of this host's own. */
function entriesOf(
  { payloads }: AcceptedBatch,
  kind: number,
): { readonly segment: Segment; readonly ticket: number }[] {
  return payloads.flatMap(({ segments, tickets }) =>
    segments
      .map((segment, i) => ({ segment, ticket: tickets[i] ?? 0 }))
      .filter(({ segment }) => segment.kind === kind),
  );
}

/** The messages of clients' records that were ordered anew, as plain ones. */
function newMessages(segment: Segment, isNew: (nth: number) => boolean): Segment[] {
  return [...messagesOf(segment)].flatMap((wire, nth) => {
    const record = isNew(nth) ? appendOf(wire) : undefined;
    if (record === undefined) return [];
    const { lengths, data } = record;
    return [{ kind: messageKinds.application, lengths, data }];
  });
}

function bytesOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, segment) => sum + segment.data.length + segment.lengths.length, 0);
}

/** The segments without their first `count` messages. */
function dropMessages(segments: readonly Segment[], count: number): readonly Segment[] {
  let left = count;
  const kept: Segment[] = [];
  for (const segment of segments) {
    const here = messageCount(segment);
    if (left === 0) kept.push(segment);
    else if (left < here) kept.push(segmentOf(segment.kind, [...messagesOf(segment)].slice(left)));
    left = Math.max(0, left - here);
  }
  return kept;
}
