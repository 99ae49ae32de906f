/** What a client did to one register, and what it was told. Instants only order one another. */
export interface Operation {
  readonly kind: "write" | "create" | "read";
  /** What is written; for a read, what was seen: undefined where nothing was. */
  readonly value: string | undefined;
  readonly invoked: number;
  /** Infinity where the client was never told: then it may have happened, at any time, or not. */
  readonly responded: number;
  /** False where it was refused: for `create`, because something else stood there. */
  readonly isDone: boolean;
}

type Value = string | undefined;

/** The register after the operation; undefined as a whole where it cannot have gone like that. */
function after(
  { kind, value, isDone }: Operation,
  held: Value,
): { readonly value: Value } | undefined {
  switch (kind) {
    case "write":
      return isDone ? { value } : undefined;
    case "read":
      return held === value ? { value: held } : undefined;
    case "create": {
      // What is wanted may stand there already: then nothing is refused.
      const isFree = held === undefined || held === value;
      return isFree === isDone ? { value: isDone ? value : held } : undefined;
    }
  }
}

/** More operations than this are not searched through: histories are cut long before. */
const operationsMax = 400;

/**
 * Whether one order of the operations, which keeps every "this ended before that began", explains all that clients
 * were told (Herlihy and Wing 1990; the search is Wing and Gong's, remembering what was tried).
 */
export function isLinearizable(history: readonly Operation[]): boolean {
  if (history.length > operationsMax) throw new Error(`${history.length} operations are too many`);
  return new Search(history.toSorted((a, b) => a.invoked - b.invoked)).from(undefined);
}

class Search {
  readonly #operations: readonly Operation[];
  readonly #placed = new Set<Operation>();
  /** What was open, and what the register held then: it led nowhere. */
  readonly #tried = new Set<string>();

  constructor(operations: readonly Operation[]) {
    this.#operations = operations;
  }

  from(held: Value): boolean {
    const open = this.#operations.filter((operation) => !this.#placed.has(operation));
    const firstEnd = Math.min(...open.map(({ responded }) => responded));
    if (firstEnd === Number.POSITIVE_INFINITY) return true;
    const place = `${open.map(({ invoked }) => invoked).join()} ${held ?? "nothing"}`;
    if (this.#tried.has(place)) return false;
    this.#tried.add(place);
    return open.some((next) => next.invoked < firstEnd && this.#leads(next, held));
  }

  #leads(next: Operation, held: Value): boolean {
    const reached = after(next, held);
    if (reached === undefined) return false;
    this.#placed.add(next);
    if (this.from(reached.value)) return true;
    this.#placed.delete(next);
    return false;
  }
}
