import { readFile, writeFile } from "node:fs/promises";
import type { Command } from "commander";
import pc from "picocolors";
import {
  answeringFirst,
  askBytes,
  askJson,
  askSigned,
  checkReceipt,
  newNonce,
  ServerError,
} from "../app/client/index.ts";
import { loadConfig } from "../app/config/index.ts";
import type { ConvictionRow, EvidenceRow, OpinionsReport } from "../app/gateway/index.ts";
import { ConfigError } from "../app/genesis/index.ts";
import { evidenceId, judge, type Verdict } from "../core/accountability/index.ts";
import { CodedError, type Digest, isDigest, limits, type Result } from "../core/base/index.ts";
import { signPardon } from "../core/mirror/index.ts";
import {
  type CommonOptions,
  homeDirectory,
  keyOf,
  serversOf,
  trustOf,
  withHome,
  withOutput,
  withTrust,
} from "./context.ts";
import { bytesText, exitCodes, note, say, sayJson, sayTable } from "./output.ts";

/** Verbs about who can be relied upon: opinions, and proofs of misbehaviour. */
export function accountabilityCommands(program: Command): void {
  const opinion = program
    .command("opinion")
    .description("what the hosts think of one another, and why");
  withOutput(withTrust(opinion.command("ls").description("the matrix of opinions"))).action(
    listOpinions,
  );
  withOutput(
    withTrust(
      opinion.command("explain <host>").description("all that is known for and against a host"),
    ),
  ).action(explain);
  withHome(
    opinion
      .command("set <host> <opinion>")
      .description(
        "this host's opinion, by its operator: ok, suspected, dead; auto to take it back",
      ),
  ).action(setOpinion);
  withOutput(
    withTrust(
      opinion
        .command("appeal <host>")
        .description("let a convicted host take part again (an administrator's right)"),
    ),
  )
    .requiredOption("--why <reason>", "for the record")
    .option("--key <file>", "the administrator's key")
    .action(appeal);
  evidenceCommands(program);
}

function evidenceCommands(program: Command): void {
  const evidence = program
    .command("evidence")
    .description("proofs of misbehaviour, which anybody can check");
  withOutput(withTrust(evidence.command("ls").description("the proofs that a host has"))).action(
    listEvidence,
  );
  withOutput(
    withTrust(evidence.command("show <id-or-file>").description("what a proof says, checked")),
  ).action((what: string, options: CommonOptions) => show(what, options));
  withOutput(
    withTrust(
      evidence
        .command("verify <file>")
        .description("check a proof offline: needs the genesis and nothing else"),
    ),
  ).action(verify);
  withTrust(
    evidence.command("export <id>").description("write a proof to a file, to be shown to anybody"),
  )
    .option("--out <file>", "where (default: ID.evidence)")
    .action(exportProof);
  withOutput(
    withTrust(
      evidence
        .command("collect <url>")
        .description("ask a host for a file with its signature; a wrong answer is kept as a proof"),
    ),
  )
    .option("--out <file>", "where to write the proof (default: ID.evidence)")
    .option("--submit", "bring the proof into the order")
    .action(collect);
  withOutput(
    withTrust(evidence.command("submit <file>").description("bring a proof into the order")),
  ).action(submit);
}

function coded(code: string, message: string): Error {
  return new CodedError(code, message);
}

/** The first server that answers. */
async function firstAnswer<T>(
  options: CommonOptions,
  ask: (server: string) => Promise<T>,
): Promise<T> {
  const reasons: string[] = [];
  let refusal: unknown;
  const servers = serversOf(options, await trustOf(options));
  for (const server of await answeringFirst(servers)) {
    try {
      return await ask(server);
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
      const isRefusal = error instanceof ServerError && error.status >= 400 && error.status < 500;
      if (isRefusal && error.code !== "NOT_A_WRITER") refusal ??= error;
    }
  }
  // Whoever refuses may be cheating; where nobody does otherwise, it is so.
  if (refusal !== undefined) throw refusal;
  throw coded("NO_SERVER", `no server answers\n  ${reasons.join("\n  ")}`);
}

function reportOf(options: CommonOptions): Promise<OpinionsReport> {
  return firstAnswer(options, (server) =>
    askJson<OpinionsReport>(`${server}/.smalti/opinions.json`, { patienceMs: 5000 }),
  );
}

const colours: Readonly<Record<string, (text: string) => string>> = {
  ok: pc.green,
  suspected: pc.yellow,
  dead: pc.red,
  corrupt: pc.red,
};

function coloured(opinion: string): string {
  return colours[opinion]?.(opinion) ?? opinion;
}

async function listOpinions(options: CommonOptions): Promise<void> {
  const report = await reportOf(options);
  if (options.output === "json") return sayJson(report);
  const { writers, matrix, convicted, own, host } = report;
  const isCorrupt = (name: string): boolean =>
    convicted.some((row) => row.host === name && row.pardon === "");
  const cell = (by: string, about: string): string => {
    if (by === about) return pc.dim("·");
    return coloured(isCorrupt(about) ? "corrupt" : (matrix[by]?.[about] ?? "ok"));
  };
  sayTable(
    ["by \\ about", ...writers],
    writers.map((by) => [by, ...writers.map((about) => cell(by, about))]),
  );
  const odd = own.filter(({ opinion }) => opinion !== "ok");
  if (odd.length > 0) say(`\n${host} thinks now:`);
  for (const { about, explained } of odd) say(`  ${about}  ${explained}`);
  if (convicted.length > 0) say("\nconvicted:");
  for (const row of convicted) say(`  ${convictionText(row)}`);
  if (report.leaving.length > 0)
    say(`\nout at the next change of membership: ${report.leaving.join(", ")}`);
}

function convictionText({ host, role, kind, count, evidence, pardon }: ConvictionRow): string {
  const often = count > 1 ? `, ${count} times proven` : "";
  const after = pardon === "" ? "" : pc.dim(` pardoned: ${pardon}`);
  return `${host} (${role}): ${kind}${often}, evidence ${evidence.slice(0, 16)}${after}`;
}

async function explain(host: string, options: CommonOptions): Promise<void> {
  const report = await reportOf(options);
  const conviction = report.convicted.find((row) => row.host === host || row.key === host);
  if (!report.writers.includes(host) && conviction === undefined)
    throw coded("USAGE", `${host} is no writer of this network, and nothing is proven against it`);
  const about = [...report.reasons, ...report.own].filter((row) => row.about === host);
  const { evidence } = await evidenceOf(options);
  const proofs = evidence.filter((row) => row.host === host || row.key === host);
  const leaves = report.leaving.includes(host);
  if (options.output === "json")
    return sayJson({ host, conviction, opinions: about, evidence: proofs, leaves });
  if (conviction === undefined) say(`${host}: nothing is proven against it`);
  else
    say(
      `${conviction.pardon === "" ? pc.red("corrupt") : "pardoned"}: ${convictionText(conviction)}`,
    );
  for (const { by, explained } of about) say(`  ${by}: ${explained}`);
  for (const { id, detail } of proofs) say(`  ${id.slice(0, 16)}  ${detail}`);
  if (about.length === 0) say("  nobody thinks otherwise of it than ok");
  if (conviction?.pardon === "") tellConsequences(host, conviction, leaves);
}

function tellConsequences(host: string, { evidence }: ConvictionRow, leaves: boolean): void {
  say(
    `not waited for, its twins are refused${leaves ? ", out at the next change of membership" : ""}`,
  );
  say("check the proof yourself:");
  say(`  smalti evidence export ${evidence.slice(0, 16)}`);
  say(`  smalti evidence verify ${evidence.slice(0, 16)}.evidence`);
  say(`an administrator may pardon it: smalti opinion appeal ${host} --why REASON`);
}

async function setOpinion(host: string, opinion: string, options: CommonOptions): Promise<void> {
  const config = await loadConfig(homeDirectory(options));
  const url = `http://${config.admin.listen}/opinion`;
  await askJson(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ about: host, opinion }),
  });
  say(opinion === "auto" ? `${host}: left to the detector` : `${host}: ${opinion}, as you say`);
}

async function appeal(
  host: string,
  options: CommonOptions & { readonly why: string },
): Promise<void> {
  const trust = await trustOf(options);
  const { signer } = await keyOf(options, "administrator");
  const report = await reportOf(options);
  const conviction = report.convicted.find((row) => row.host === host || row.key === host);
  if (conviction === undefined || conviction.pardon !== "")
    throw coded("NOTHING_TO_PARDON", `nothing that counts is proven against ${host}`);
  if (Buffer.byteLength(options.why) > limits.reasonBytesMax)
    throw new ConfigError("USAGE", `--why takes at most ${limits.reasonBytesMax} bytes`);
  const pardon = signPardon(
    {
      group: trust.network.group,
      administrator: signer.publicKey,
      culprit: conviction.key,
      evidence: conviction.evidence as Digest,
      reason: options.why,
    },
    signer,
  );
  const { id } = await firstAnswer(options, (server) =>
    post<{ id: string }>(`${server}/.smalti/v1/pardons`, pardon.wire),
  );
  if (options.output === "json") return sayJson({ id, host, evidence: conviction.evidence });
  say(`${host} is pardoned once this is ordered; its next misdeed convicts it again`);
}

function post<T>(url: string, body: Uint8Array): Promise<T> {
  return askJson<T>(url, {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body,
  });
}

// ── evidence ──

function evidenceOf(
  options: CommonOptions,
): Promise<{ readonly evidence: readonly EvidenceRow[] }> {
  return firstAnswer(options, (server) =>
    askJson<{ evidence: readonly EvidenceRow[] }>(`${server}/.smalti/evidence`, {
      patienceMs: 5000,
    }),
  );
}

async function listEvidence(options: CommonOptions): Promise<void> {
  const { evidence } = await evidenceOf(options);
  if (options.output === "json") return sayJson(evidence);
  if (evidence.length === 0) return say("nothing is proven against anybody");
  sayTable(
    ["id", "host", "misdeed", "size", "state"],
    evidence.map(({ id, host, detail, bytes, state }) => [
      id.slice(0, 16),
      host,
      detail,
      bytesText(bytes),
      state,
    ]),
  );
}

/** A whole id from a whole one, or from the beginning of one that a host has. */
async function wholeId(text: string, options: CommonOptions): Promise<Digest> {
  if (isDigest(text)) return text;
  const { evidence } = await evidenceOf(options);
  const found = evidence.filter(({ id }) => id.startsWith(text));
  const [only] = found;
  if (found.length === 1 && only !== undefined) return only.id as Digest;
  throw coded(
    "NOT_FOUND",
    `${found.length === 0 ? "no" : "more than one"} evidence begins with ${text}`,
  );
}

async function fetchProof(text: string, options: CommonOptions): Promise<Uint8Array> {
  const id = await wholeId(text, options);
  return firstAnswer(options, (server) =>
    askBytes(`${server}/.smalti/evidence/${id}`, limits.frameBytesMax),
  );
}

async function judged(wire: Uint8Array, options: CommonOptions): Promise<Result<Verdict>> {
  const { network, verifier } = await trustOf(options);
  return judge(wire, { network, verifier });
}

async function readProof(file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(file));
  } catch (error) {
    throw coded("NOT_FOUND", `cannot read ${file}: ${(error as Error).message}`);
  }
}

async function show(what: string, options: CommonOptions): Promise<void> {
  const isId = /^[0-9a-f]{8,64}$/.test(what);
  const wire = isId ? await fetchProof(what, options) : await readProof(what);
  await tell(wire, options);
}

async function verify(file: string, options: CommonOptions): Promise<void> {
  await tell(await readProof(file), options);
}

async function tell(wire: Uint8Array, options: CommonOptions): Promise<void> {
  const verdict = await judged(wire, options);
  if (!verdict.ok) throw coded("VERIFICATION_FAILED", `it proves nothing: ${verdict.error.detail}`);
  const { id, group, kind, culprit, detail, offence } = verdict.value;
  if (options.output === "json")
    return sayJson({
      ok: true,
      id,
      kind,
      culprit,
      detail,
      offence,
      network: group,
      bytes: wire.length,
    });
  say(`${pc.red("proven")}: ${detail}`);
  say(`${kind}, against key ${culprit}, in ${bytesText(wire.length)}`);
  say(pc.dim(`evidence ${id}`));
}

async function exportProof(
  text: string,
  options: CommonOptions & { readonly out?: string },
): Promise<void> {
  const wire = await fetchProof(text, options);
  const verdict = await judged(wire, options);
  if (!verdict.ok) throw coded("VERIFICATION_FAILED", `it proves nothing: ${verdict.error.detail}`);
  const file = options.out ?? `${verdict.value.id.slice(0, 16)}.evidence`;
  await writeFile(file, wire, { flag: "wx" });
  say(`${file}: ${verdict.value.detail}`);
}

async function collect(
  url: string,
  options: CommonOptions & { readonly out?: string; readonly submit?: boolean },
): Promise<void> {
  const trust = await trustOf(options);
  const answer = await askSigned(trust, url, newNonce());
  if (answer.receipt === undefined)
    throw coded("NO_RECEIPT", `${url}: ${answer.problem}; nothing can be proven, use another host`);
  const checked = await checkReceipt(trust, serversOf(options, trust), answer.receipt);
  if (checked.kind === "unknown") throw coded("NO_SERVER", checked.detail);
  if (checked.kind === "right") {
    const { height, key } = answer.receipt.claim;
    if (options.output === "json") return sayJson({ ok: true, height, key });
    return say(`${pc.green("right")}: ${url} is what the writers certified for height ${height}`);
  }
  const id = evidenceId(checked.evidence);
  const file = options.out ?? `${id.slice(0, 16)}.evidence`;
  await writeFile(file, checked.evidence, { flag: "wx" });
  if (options.output === "json") sayJson({ ok: false, id, file, detail: checked.detail });
  else say(`${pc.red("proven")}: ${checked.detail}\nthe proof is in ${file}`);
  if (options.submit === true) await submit(file, { ...options, output: "table" });
  process.exitCode = exitCodes.misbehaviour;
}

async function submit(file: string, options: CommonOptions): Promise<void> {
  const wire = await readProof(file);
  const verdict = await judged(wire, options);
  if (!verdict.ok) throw coded("VERIFICATION_FAILED", `it proves nothing: ${verdict.error.detail}`);
  const { id, detail } = await firstAnswer(options, (server) =>
    post<{ id: string; detail: string }>(`${server}/.smalti/v1/evidence`, wire),
  );
  if (options.output === "json") return sayJson({ id, detail });
  say(`taken: ${detail}`);
  note(pc.dim(`evidence ${id}; it is in the order in a moment: smalti evidence ls`));
}
