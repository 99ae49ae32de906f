import { blockFromWire, leadersOf } from "../src/core/dag/index.ts";
import { decodeMessage } from "./messages.ts";
import type { Sighting } from "./network.ts";
import type { Note } from "./realm.ts";
import type { World } from "./world.ts";

const width = 1600;
const rowPx = 56;
const leftPx = 70;
const topPx = 70;

const colours: Readonly<Record<string, string>> = {
  block: "#3465a4",
  blocks: "#729fcf",
  fetch: "#c4a000",
  range: "#5c3566",
  sync: "#ad7fa8",
  cosignature: "#4e9a06",
  hello: "#888a85",
  nudge: "#e9b96e",
  garbage: "#cc0000",
};

const noteColours: Readonly<Record<Note["kind"], string>> = {
  up: "#4e9a06",
  down: "#cc0000",
  commit: "#204a87",
  trouble: "#ce5c00",
  evidence: "#a40000",
  opinion: "#75507b",
  published: "#4e9a06",
};

interface Drawn extends Sighting {
  readonly type: string;
}

/** A block when its author first sends it. */
interface Made {
  readonly atMs: number;
  readonly host: string;
  readonly round: number;
  /** Its author leads its round, first of all. */
  readonly isLeader: boolean;
}

const leaderColour = "#f57900";

/** A plainer picture: some kinds of messages, without their numbers, and other names for hosts. */
export interface TimelineChoice {
  readonly kinds: readonly string[];
  readonly names: ReadonlyMap<string, string>;
}

/** Watches a world and draws it: hosts as lines, time to the right, messages as arrows, faults as colours. */
export class Timeline {
  readonly #frames: Drawn[] = [];
  readonly #made = new Map<string, Made>();
  readonly notes: Note[] = [];
  readonly #remarks = new Map<string | undefined, { readonly x: number; readonly isUp: boolean }>();
  readonly #window: { readonly fromMs: number; readonly toMs: number };
  #hosts: readonly { readonly id: string; readonly isHonest: boolean }[] = [];

  readonly #only: TimelineChoice | undefined;

  constructor(window: { readonly fromMs: number; readonly toMs: number }, only?: TimelineChoice) {
    this.#window = window;
    this.#only = only;
  }

  watch(world: World): void {
    this.#hosts = world.hosts.map(({ id, isHonest }) => ({ id, isHonest }));
    world.links.onFrame = (sighting) => {
      if (sighting.arrivesMs < this.#window.fromMs || sighting.sentMs > this.#window.toMs) return;
      const message = decodeMessage(sighting.frame);
      const type = message.ok ? message.value.type : "garbage";
      if (this.#only === undefined || this.#only.kinds.includes(type))
        this.#frames.push({ ...sighting, type });
      if (message.ok && message.value.type === "block")
        this.#see(world, sighting, message.value.wire);
    };
    world.onNote = (note) => this.notes.push(note);
  }

  #see({ writers }: World, { from, sentMs }: Sighting, wire: Uint8Array): void {
    const block = blockFromWire(wire);
    if (!block.ok || writers[block.value.ref.author]?.id !== from) return;
    const { round, author, digest } = block.value.ref;
    const [leader] = leadersOf(round, writers.length, 1);
    const key = `${from} ${round} ${digest}`;
    if (!this.#made.has(key))
      this.#made.set(key, { atMs: sentMs, host: from, round, isLeader: leader?.author === author });
  }

  /** A whole SVG document. */
  svg(title: string): string {
    const height = topPx + rowPx * (this.#hosts.length + 1);
    const parts = [
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
      `<rect width="${width}" height="${height}" fill="white"/>`,
      `<text x="10" y="18" font-size="14">${escaped(title)}</text>`,
      ...this.#legend(),
      ...this.#axis(height),
      ...this.#hosts.flatMap((host) => this.#line(host)),
      ...this.#frames.map((frame) => this.#arrow(frame)),
      ...[...this.#made.values()].flatMap((made) => this.#square(made)),
      ...this.notes.filter(({ atMs }) => this.#isShown(atMs)).flatMap((note) => this.#mark(note)),
      "</svg>",
    ];
    return `${parts.join("\n")}\n`;
  }

  #isShown(atMs: number): boolean {
    return atMs >= this.#window.fromMs && atMs <= this.#window.toMs;
  }

  #x(atMs: number): number {
    const { fromMs, toMs } = this.#window;
    const at = Math.min(toMs, Math.max(fromMs, atMs));
    return leftPx + ((at - fromMs) / (toMs - fromMs)) * (width - leftPx - 20);
  }

  #y(host: string): number {
    return topPx + rowPx * (this.#hosts.findIndex(({ id }) => id === host) + 0.5);
  }

  #legend(): string[] {
    const at = (i: number, mark: string, name: string): string =>
      `<g transform="translate(${10 + i * 110} 32)">${mark}<text x="24">${name}</text></g>`;
    const marks = [
      [`<rect x="6" y="-9" width="8" height="8" fill="${colours["block"]}"/>`, "made block"],
      [`<rect x="6" y="-9" width="8" height="8" fill="${leaderColour}"/>`, "leader\u2019s block"],
      [`<rect x="9" y="-10" width="2" height="9" fill="${noteColours.commit}"/>`, "decision"],
      [`<circle cx="10" cy="-5" r="4" fill="${noteColours.trouble}"/>`, "fault"],
    ] as const;
    const shown = Object.entries(colours).filter(
      ([name]) => this.#only === undefined || this.#only.kinds.includes(name),
    );
    return [
      ...shown.map(([name, colour], i) =>
        at(i, `<line x2="18" y1="-4" y2="-4" stroke="${colour}" stroke-width="2"/>`, name),
      ),
      ...marks.map(([mark, name], i) => at(shown.length + i, mark, name)),
    ];
  }

  /** A block on its author's line, with its round where its author leads. */
  #square({ atMs, host, round, isLeader }: Made): string[] {
    if (!this.#isShown(atMs)) return [];
    const [x, y] = [this.#x(atMs), this.#y(host)];
    const fill = isLeader ? leaderColour : colours["block"];
    const title = `<title>${escaped(`round ${round} by ${host}, ${(atMs / 1000).toFixed(3)} s`)}</title>`;
    const square = `<rect x="${(x - 4).toFixed(1)}" y="${y - 4}" width="8" height="8" fill="${fill}">${title}</rect>`;
    if (!isLeader) return [square];
    return [square, `<text x="${x.toFixed(1)}" y="${y + 17}" text-anchor="middle">${round}</text>`];
  }

  #axis(height: number): string[] {
    const { fromMs, toMs } = this.#window;
    return Array.from({ length: 11 }, (_, i) => {
      const atMs = fromMs + ((toMs - fromMs) * i) / 10;
      const x = this.#x(atMs).toFixed(1);
      return `<line x1="${x}" x2="${x}" y1="46" y2="${height - 20}" stroke="#eee"/><text x="${x}" y="${height - 6}" text-anchor="middle">${(atMs / 1000).toFixed(2)} s</text>`;
    });
  }

  /** A host: a line while it is up, dashes while it is down, red if it cheats. */
  #line({ id, isHonest }: { readonly id: string; readonly isHonest: boolean }): string[] {
    const y = this.#y(id);
    const colour = isHonest ? "black" : "#cc0000";
    const parts = [
      `<text x="8" y="${y + 4}" fill="${colour}" font-size="13">${escaped(this.#only?.names.get(id) ?? id)}</text>`,
    ];
    let sinceMs = this.#window.fromMs;
    let isUp = false;
    const piece = (untilMs: number): void => {
      const dash = isUp ? "" : ' stroke-dasharray="2 6"';
      parts.push(
        `<line x1="${this.#x(sinceMs).toFixed(1)}" x2="${this.#x(untilMs).toFixed(1)}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="1.5"${dash}/>`,
      );
      sinceMs = untilMs;
    };
    for (const note of this.notes) {
      if (note.host !== id || (note.kind !== "up" && note.kind !== "down")) continue;
      if (note.atMs > this.#window.fromMs) piece(Math.min(note.atMs, this.#window.toMs));
      isUp = note.kind === "up";
    }
    piece(this.#window.toMs);
    return parts;
  }

  #arrow({ from, to, sentMs, arrivesMs, type }: Drawn): string {
    const colour = colours[type] ?? "#888a85";
    const [x1, y1, x2, y2] = [this.#x(sentMs), this.#y(from), this.#x(arrivesMs), this.#y(to)];
    if (this.#only !== undefined)
      return `<line x1="${x1.toFixed(0)}" y1="${y1}" x2="${x2.toFixed(0)}" y2="${y2}" stroke="${colour}" stroke-width="0.8" opacity="0.6"/><circle cx="${x2.toFixed(0)}" cy="${y2}" r="1.6" fill="${colour}"/>`;
    return `<line x1="${x1.toFixed(1)}" y1="${y1}" x2="${x2.toFixed(1)}" y2="${y2}" stroke="${colour}" stroke-width="0.8" opacity="0.6"><title>${escaped(`${type} ${from} to ${to}, ${(arrivesMs - sentMs).toFixed(1)} ms`)}</title></line><circle cx="${x2.toFixed(1)}" cy="${y2}" r="1.6" fill="${colour}"/>`;
  }

  #mark({ atMs, kind, host, text }: Note): string[] {
    const x = this.#x(atMs).toFixed(1);
    const colour = noteColours[kind];
    const label = `<title>${escaped(`${(atMs / 1000).toFixed(3)} s: ${text}`)}</title>`;
    if (kind === "commit")
      return [
        `<rect x="${x}" y="${this.#y(host ?? "") - 9}" width="1.5" height="7" fill="${colour}">${label}</rect>`,
      ];
    const y = (host === undefined ? 58 : this.#y(host) - 14) - this.#shift(host, Number(x));
    return [
      `<g fill="${colour}"><circle cx="${x}" cy="${y}" r="4">${label}</circle><text x="${Number(x) + 6}" y="${y + 4}">${escaped(this.#named(text))}</text></g>`,
    ];
  }

  /** Remarks of a host that would cover one another stand in two rows. */
  #shift(host: string | undefined, x: number): number {
    const last = this.#remarks.get(host);
    const isUp = last !== undefined && x - last.x < 170 && !last.isUp;
    this.#remarks.set(host, { x, isUp });
    return isUp ? 12 : 0;
  }

  #named(text: string): string {
    return text.replace(/\bw\d+\b/g, (id) => this.#only?.names.get(id) ?? id);
  }
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
