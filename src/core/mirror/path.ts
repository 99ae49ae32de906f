import { fail, limits, ok, type Result, utf8 } from "../base/index.ts";

const treeName = /^[A-Za-z0-9][A-Za-z0-9._+-]*$/;

/** True for a name that a tree may have: letters, digits, `.`, `_`, `+`, `-`; at most 64 characters. */
export function isTreeName(name: string): boolean {
  return name.length <= limits.treeNameBytesMax && treeName.test(name);
}

/** C0 and C1 control characters and DEL: they forge terminal output and log lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: refusing control characters is what this is for
const control = /[\u0000-\u001f\u007f-\u009f]/;
const loneSurrogate = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/** Why one component of a path is refused, or `undefined` if it is fine. */
export function nameFault(name: string): string | undefined {
  if (name === "") return "an empty name (a leading, trailing or double slash)";
  if (name === "." || name === "..") return `the name "${name}"`;
  if (name.includes("/")) return "a slash inside a name";
  if (control.test(name)) return "a control character";
  if (loneSurrogate.test(name)) return "text that is not Unicode";
  if (utf8(name).length > limits.nameBytesMax) return `a name over ${limits.nameBytesMax} bytes`;
  return undefined;
}

/** The components of a path inside a tree. Fault: BAD_PATH, with the reason. */
export function parsePath(path: string): Result<readonly string[]> {
  const names = path.split("/");
  if (names.length > limits.pathDepthMax)
    return fail("BAD_PATH", `more than ${limits.pathDepthMax} directories deep`);
  if (path.length > limits.pathBytesMax || utf8(path).length > limits.pathBytesMax) {
    return fail("BAD_PATH", `a path over ${limits.pathBytesMax} bytes`);
  }
  for (const name of names) {
    const fault = nameFault(name);
    if (fault !== undefined) return fail("BAD_PATH", `${JSON.stringify(path)} has ${fault}`);
  }
  return ok(names);
}

/** What file systems that fold case, normalise Unicode or ignore invisible characters make of a name. */
function fold(path: string): string {
  const visible = path.normalize("NFKD").replace(/\p{Default_Ignorable_Code_Point}/gu, "");
  return visible.toUpperCase().toLowerCase().toUpperCase().normalize("NFKD");
}

/**
 * Paths that would overwrite one another on a file system that folds case or normalises Unicode.
 * Each group holds at least two paths (or directories) that differ only so.
 */
export function exportCollisions(paths: Iterable<string>): readonly (readonly string[])[] {
  const groups = new Map<string, Set<string>>();
  for (const path of paths) {
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
      const prefix = path.slice(0, end);
      const folded = fold(prefix);
      const group = groups.get(folded);
      if (group === undefined) groups.set(folded, new Set([prefix]));
      else if (group.has(prefix)) break;
      else group.add(prefix);
    }
  }
  return [...groups.values()].filter((group) => group.size > 1).map((group) => [...group]);
}
