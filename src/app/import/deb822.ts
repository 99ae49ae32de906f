/** Paragraphs of Debian control files (Debian Policy §5.1): a field's lines after the first are joined by newlines. */
export function paragraphsOf(text: string): ReadonlyMap<string, string>[] {
  const paragraphs: Map<string, string>[] = [];
  let current = new Map<string, string>();
  let field = "";
  for (const line of `${text}\n`.split("\n")) {
    if (line.trim() === "") {
      if (current.size > 0) paragraphs.push(current);
      current = new Map();
      continue;
    }
    if (/^[ \t]/.test(line)) {
      current.set(field, `${current.get(field) ?? ""}\n${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(":");
    if (line.startsWith("#") || colon < 1) continue;
    field = line.slice(0, colon);
    current.set(field, line.slice(colon + 1).trim());
  }
  return paragraphs;
}

/** The lines of a field that is a list. */
export function valuesOf(paragraph: ReadonlyMap<string, string>, field: string): string[] {
  return (paragraph.get(field) ?? "").split("\n").filter((line) => line !== "");
}
