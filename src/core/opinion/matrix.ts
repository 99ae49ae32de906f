import { Author } from "../base/index.ts";
import type { Opinion, Statement } from "./opinion.ts";

/** Who thinks what of whom, by the order alone: the same at every host that is as far in it. */
export type OpinionMatrix = ReadonlyMap<string, Statement>;

/** Who says it and of whom, as one text. */
export function matrixKey(by: Author, about: Author): string {
  return `${by}/${about}`;
}

/** The matrix of the newest statement of each writer on each. */
export function matrixOf(statements: readonly Statement[]): OpinionMatrix {
  return new Map(statements.map((one) => [matrixKey(one.by, one.about), one]));
}

/** The matrix with a statement in it; the same one if an equal or later statement is there. */
export function withStatement(matrix: OpinionMatrix, statement: Statement): OpinionMatrix {
  const key = matrixKey(statement.by, statement.about);
  const known = matrix.get(key);
  if (known !== undefined && known.serial >= statement.serial) return matrix;
  return new Map([...matrix, [key, statement]]);
}

/** What one writer says of another; "ok" if it said nothing. */
export function opinionIn(matrix: OpinionMatrix, by: Author, about: Author): Opinion {
  return matrix.get(matrixKey(by, about))?.opinion ?? "ok";
}

/**
 * Who is left out at the next change of membership (`dag.md` §17): the convicted, and those that at least `quorum`
 * others hold dead. Several only if at least four remain; else of the convicted alone as many as leave four, one at
 * least, the lowest first.
 */
export function removals(
  matrix: OpinionMatrix,
  about: {
    readonly n: number;
    readonly quorum: number;
    readonly convicted: ReadonlySet<Author>;
  },
): readonly Author[] {
  const { n, quorum, convicted } = about;
  const all = Array.from({ length: n }, (_, i) => Author(i));
  const isHeldDead = (author: Author): boolean =>
    all.filter((by) => by !== author && opinionIn(matrix, by, author) === "dead").length >= quorum;
  const proven = all.filter((author) => convicted.has(author));
  const dead = all.filter((author) => !convicted.has(author) && isHeldDead(author));
  const chosen = [...proven, ...dead];
  if (chosen.length <= 1 || n - chosen.length >= 4) return chosen;
  return proven.slice(0, Math.max(1, n - 4));
}
