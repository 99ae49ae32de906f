import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import type { Command } from "commander";
import pc from "picocolors";
import { ConfigError } from "../app/genesis/index.ts";
import { CodedError } from "../core/base/index.ts";
import {
  checkConsistency,
  checkPathProof,
  type ProvenPath,
  proofText,
  readConsistency,
  readPathProof,
} from "../core/proof/index.ts";
import { type CommonOptions, clientOf, trustOf, withOutput, withTrust } from "./context.ts";
import { bytesText, say, sayJson, sayTable } from "./output.ts";
import { headFor, natural, type ReadOptions, reading } from "./reading.ts";

/** `smalti proof make|show|check`: proofs that are carried away and checked without a network. */
export function proofCommands(program: Command): void {
  const proof = program
    .command("proof")
    .description("proofs of what stands at a path, or that nothing does; checked offline");
  makeCommand(proof);
  showCommand(proof);
  checkCommand(proof);
}

interface MakeOptions extends ReadOptions {
  readonly out?: string;
  readonly since?: number;
}

function makeCommand(proof: Command): void {
  reading(
    proof
      .command("make [target]")
      .description(
        "TREE/PATH: what stands there, or that nothing does; --since: the log only grew",
      ),
  )
    .option("--out <file>", "where to write it (default: standard output)")
    .option(
      "--since <leaves>",
      "prove that the log of so many leaves is the beginning of the newest",
      natural,
    )
    .action(async (target: string | undefined, options: MakeOptions) => {
      const { client } = await clientOf(options);
      if ((target === undefined) === (options.since === undefined))
        throw new ConfigError("USAGE", "proof make takes TREE/PATH, or --since LEAVES");
      const written =
        target === undefined
          ? await client.consistency(options.since ?? 0)
          : await client.proof(target.replace(/\/$/, ""), (await headFor(client, options)).height);
      if (options.out === undefined) return void process.stdout.write(written);
      await writeFile(options.out, written);
      if (options.output === "json") sayJson({ file: options.out, bytes: written.length });
      else say(`${options.out}: ${bytesText(written.length)}`);
    });
}

async function readProof(file: string): Promise<string> {
  const written = proofText(await readFile(file));
  if (!written.ok) throw refusal(file, written.error);
  return written.value;
}

function refusal(file: string, fault: { readonly code: string; readonly detail: string }): Error {
  return new CodedError(fault.code, `${file} proves nothing: ${fault.detail}`);
}

const isConsistency = (written: string): boolean => written.startsWith("smalti/consistency@");

function showCommand(proof: Command): void {
  withOutput(
    proof.command("show <file>").description("what a proof claims; nothing is verified"),
  ).action(async (file: string, options: CommonOptions) => {
    const written = await readProof(file);
    const rows = isConsistency(written) ? consistencyRows(file, written) : pathRows(file, written);
    if (options.output === "json") return sayJson(Object.fromEntries(rows));
    sayTable(
      ["claim", ""],
      rows.map(([name, value]) => [name, String(value)]),
    );
  });
}

type Row = readonly [string, string | number];

function pathRows(file: string, written: string): readonly Row[] {
  const read = readPathProof(written);
  if (!read.ok) throw refusal(file, read.error);
  const { path, leafIndex, hashes, nodes, note } = read.value;
  return [
    ["path", path],
    ["leaf of the log", leafIndex],
    ["hashes to the root", hashes.length],
    ["directory nodes", nodes.length],
    ["bytes", written.length],
    ...noteRows("checkpoint", note),
  ];
}

function consistencyRows(file: string, written: string): readonly Row[] {
  const read = readConsistency(written);
  if (!read.ok) throw refusal(file, read.error);
  const { older, newer, hashes } = read.value;
  return [...noteRows("older", older), ...noteRows("newer", newer), ["hashes", hashes.length]];
}

function noteRows(name: string, note: string): readonly Row[] {
  const [origin = "", size = "", root = ""] = note.split("\n");
  const signatures = note.split("\n").filter((line) => line.startsWith("\u2014 ")).length;
  return [
    [`${name}: log`, origin],
    [`${name}: leaves`, size],
    [`${name}: root`, root],
    [`${name}: cosignatures, not checked`, signatures],
  ];
}

function checkCommand(proof: Command): void {
  withOutput(
    withTrust(
      proof
        .command("check <file> [content]")
        .description(
          "check a proof against the genesis alone; with CONTENT, that it is those bytes",
        ),
    ),
  ).action(async (file: string, content: string | undefined, options: CommonOptions) => {
    const trust = await trustOf(options);
    const written = await readProof(file);
    if (isConsistency(written)) {
      const checked = checkConsistency(trust, written);
      if (!checked.ok) throw refusal(file, checked.error);
      const [from, to] = [checked.value.older.checkpoint.size, checked.value.newer.checkpoint.size];
      if (options.output === "json") return sayJson({ ok: true, from, to });
      return say(
        `${pc.green("valid")}: the log of ${from} leaves is the beginning of that of ${to}`,
      );
    }
    const proven = checkPathProof(trust, written);
    if (!proven.ok) throw refusal(file, proven.error);
    if (content !== undefined) await compareContent(content, proven.value);
    tell(proven.value, content, options);
  });
}

async function compareContent(content: string, { path, entry }: ProvenPath): Promise<void> {
  if (entry?.kind !== "file")
    throw new CodedError(
      "OTHER_BYTES",
      `no file stands at ${path}: there is nothing to compare ${content} with`,
    );
  const hash = createHash("sha256");
  for await (const piece of createReadStream(content)) hash.update(piece as Buffer);
  const digest = hash.digest("hex");
  if (digest === entry.digest) return;
  throw new CodedError(
    "OTHER_BYTES",
    `${content} is not what stands at ${path}: SHA-256 ${digest}, proven is ${entry.digest}`,
  );
}

function tell(
  { path, entry, height, tsMs, signers, leaseS, logSize }: ProvenPath,
  content: string | undefined,
  options: CommonOptions,
): void {
  if (options.output === "json")
    return sayJson({
      ok: true,
      path,
      height,
      tsMs,
      entry: entry ?? null,
      signers,
      leaseS,
      logSize,
    });
  const at = `at height ${height} (${new Date(tsMs).toISOString()})`;
  if (entry === undefined) say(`${pc.green("valid")}: nothing stands at ${path} ${at}`);
  else if (entry.kind === "file")
    say(
      `${pc.green("valid")}: ${path} ${at} is ${bytesText(entry.size)} with SHA-256 ${entry.digest}${content === undefined ? "" : `, as ${content} is`}`,
    );
  else if (entry.kind === "link")
    say(`${pc.green("valid")}: ${path} ${at} is a link to ${entry.target}`);
  else say(`${pc.green("valid")}: ${path} ${at} is a directory of ${entry.count} entries`);
  say(`cosigned by ${signers.join(", ")}; the newest at ${new Date(leaseS * 1000).toISOString()}`);
}
