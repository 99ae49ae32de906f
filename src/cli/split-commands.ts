import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import pc from "picocolors";
import {
  askJson,
  exportTree,
  MirrorClient,
  resubmit,
  type Trust,
  verifyReceipt,
} from "../app/client/index.ts";
import { loadConfig } from "../app/config/index.ts";
import type { GroupRow, PlanRow, SplitsReport } from "../app/gateway/index.ts";
import { ConfigError, withSplit } from "../app/genesis/index.ts";
import { CodedError, type Digest, fromBase64, type Result } from "../core/base/index.ts";
import { lineageOf } from "../core/committee/index.ts";
import { type ChangeList, decodeChanges, type Leaf, readUpdate } from "../core/mirror/index.ts";
import { fractionOf, readGroup, type SplitGroup } from "../core/split/index.ts";
import { replaceFile } from "../io/files/index.ts";
import {
  type CommonOptions,
  genesisPath,
  homeDirectory,
  serversOf,
  trustOf,
  withHome,
  withOutput,
  withTrust,
} from "./context.ts";
import { note, say, sayJson, sayTable } from "./output.ts";

/** Verbs for the worst case: no side has a quorum any more, and each host chooses with whom to go on. */
export function splitCommands(program: Command): void {
  const split = program
    .command("split")
    .description(
      "when acceptance has stalled for good: divide the writers into two groups, openly",
    );
  withOutput(
    withHome(
      split
        .command("propose")
        .description("propose two groups by the opinions that are known, and consent to them"),
    ),
  ).action(propose);
  withOutput(
    withTrust(split.command("show").description("plans, who agreed to them, and groups")),
  ).action(show);
  withOutput(
    withHome(
      split.command("join [plan]").description("consent to a plan, as this host's operator"),
    ),
  )
    .option("--file <file>", "a plan that was brought by hand (split show -o json has it)")
    .action(joinPlan);
  withOutput(
    withTrust(
      split
        .command("follow <group>")
        .description("go on with one of the groups: rewrites the genesis of this home or client"),
    ),
  ).action(follow);
  withOutput(
    withTrust(
      split
        .command("rejoin")
        .description("submit again here what the other group published since the split"),
    ),
  )
    .requiredOption("--other <url>", "a host of the other group")
    .action(rejoin);
}

function coded(code: string, message: string): Error {
  return new CodedError(code, message);
}

async function operate<T>(options: CommonOptions, path: string, body: object): Promise<T> {
  const config = await loadConfig(homeDirectory(options));
  return askJson<T>(`http://${config.admin.listen}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function propose(options: CommonOptions): Promise<void> {
  const { id } = await operate<{ id: string }>(options, "/split/propose", {});
  if (options.output === "json") return sayJson({ plan: id });
  say(`proposed, and agreed to by this host: plan ${id.slice(0, 16)}`);
  say("it binds nobody until all of a side agree: each other operator runs");
  say(`  smalti split join ${id.slice(0, 16)}`);
}

async function joinPlan(
  plan: string | undefined,
  options: CommonOptions & { readonly file?: string },
): Promise<void> {
  if ((plan === undefined) === (options.file === undefined))
    throw new ConfigError("USAGE", "split join takes the id of a plan, or --file");
  const body =
    options.file === undefined
      ? { plan: await wholePlan(plan ?? "", options) }
      : { wire: await planIn(options.file) };
  const { id } = await operate<{ id: string }>(options, "/split/join", body);
  if (options.output === "json") return sayJson({ plan: id });
  say(`this host agrees to plan ${id.slice(0, 16)}; it signs once all of its side have agreed`);
  say("what becomes of it: smalti split show");
}

/** The plan in a file that `split show -o json` wrote. */
async function planIn(file: string): Promise<string> {
  const text = await readFile(file, "utf8");
  try {
    const json = JSON.parse(text) as { plans?: { wire?: string }[]; wire?: string };
    const wire = json.wire ?? json.plans?.[0]?.wire;
    if (typeof wire === "string") return wire;
  } catch {
    // It may be the plan itself.
  }
  return text.trim();
}

async function wholePlan(text: string, options: CommonOptions): Promise<string> {
  const config = await loadConfig(homeDirectory(options));
  const { plans } = await askJson<SplitsReport>(`http://${config.http.listen}/.smalti/splits.json`);
  const found = plans.filter(({ id }) => id.startsWith(text));
  const [only] = found;
  if (found.length === 1 && only !== undefined) return only.id;
  throw coded(
    "NOT_FOUND",
    `${found.length === 0 ? "no" : "more than one"} plan that this host knows begins with ${text}; bring it with --file`,
  );
}

// ── looking ──

/** What all servers say of splits, each plan and each group once. */
async function splitsOf(options: CommonOptions): Promise<{
  readonly trust: Trust;
  readonly plans: readonly PlanRow[];
  readonly groups: readonly { readonly row: GroupRow; readonly group: SplitGroup }[];
}> {
  const trust = await trustOf(options);
  const answers = await Promise.allSettled(
    serversOf(options, trust).map((server) =>
      askJson<SplitsReport>(`${server}/.smalti/splits.json`, { patienceMs: 3000 }),
    ),
  );
  const reports = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  const plans = new Map<string, PlanRow>();
  for (const plan of reports.flatMap((report) => report.plans)) {
    const known = plans.get(plan.id);
    if ((known?.signed.length ?? 0) <= plan.signed.length) plans.set(plan.id, plan);
  }
  const groups = new Map<string, { row: GroupRow; group: SplitGroup }>();
  for (const row of reports.flatMap((report) => report.groups)) {
    const group = verified(row, trust);
    if (group.ok) groups.set(group.value.group, { row, group: group.value });
  }
  return { trust, plans: [...plans.values()], groups: [...groups.values()] };
}

/** The group that a row's founding document founds, of this network or one that it comes from. */
function verified(row: GroupRow, { network, verifier }: Trust): Result<SplitGroup> {
  const wire = fromBase64(String(row.wire)) ?? new Uint8Array(0);
  let last: Result<SplitGroup> = { ok: false, error: { code: "WRONG_GROUP", detail: "unknown" } };
  for (const ancestor of lineageOf(network)) {
    last = readGroup(wire, { network: ancestor, verifier });
    if (last.ok) return last;
  }
  return last;
}

async function show(options: CommonOptions): Promise<void> {
  const { trust, plans, groups } = await splitsOf(options);
  if (options.output === "json")
    return sayJson({
      network: trust.network.group,
      plans,
      groups: groups.map(({ row }) => row),
    });
  if (plans.length === 0 && groups.length === 0) return say("nobody proposes to split");
  if (plans.length > 0)
    sayTable(
      ["plan", "begins at height", "one side", "the other side", "agreed", "signed"],
      plans.map((plan) => [
        plan.id.slice(0, 16),
        String(plan.height),
        plan.sides[0]?.join(" ") ?? "",
        plan.sides[1]?.join(" ") ?? "",
        plan.joining.join(" "),
        plan.signed.join(" "),
      ]),
    );
  if (groups.length === 0) return;
  say("\ngroups, proven by the signatures of all their members:");
  sayTable(
    ["group", "members", "begins at height", "here"],
    groups.map(({ row, group }) => [
      group.group.slice(0, 16),
      row.members.map(({ name }) => name).join(" "),
      String(row.height),
      group.group === trust.network.group ? pc.green("followed") : "",
    ]),
  );
  say("nobody switches by himself; choose with: smalti split follow GROUP");
}

// ── choosing ──

async function follow(text: string, options: CommonOptions): Promise<void> {
  const { trust, groups } = await splitsOf(options);
  const found = groups.filter(({ group }) => group.group.startsWith(text));
  const [chosen] = found;
  if (found.length !== 1 || chosen === undefined)
    throw coded(
      "NOT_FOUND",
      `${found.length === 0 ? "no" : "more than one"} proven group begins with ${text}; see: smalti split show`,
    );
  const { group } = chosen.group;
  if (group === trust.network.group) return say(`${group.slice(0, 16)} is followed already`);
  const file = genesisPath(options);
  const before = await readFile(file, "utf8");
  const fraction = fractionOf(trust.network, chosen.group);
  if (!fraction.ok || chosen.group.plan.parent.group !== trust.network.group)
    throw coded(
      "WRONG_GROUP",
      `${file} follows ${trust.network.group.slice(0, 16)}, from which ${group.slice(0, 16)} did not split; begin from the genesis before the split`,
    );
  await writeFile(`${file}.before-${group.slice(0, 16)}`, before, { flag: "wx" }).catch(
    () => undefined,
  );
  await replaceFile(file, withSplit(before, chosen.group.wire), 0o644);
  const names = fraction.value.writers.map(({ name }) => name);
  if (options.output === "json") return sayJson({ group, genesis: file, members: names });
  say(
    `${file} now follows ${group.slice(0, 16)}: ${names.join(", ")}, from height ${chosen.row.height} on`,
  );
  note(
    pc.dim(
      `the genesis before is kept beside it; a running host takes it up when it is started again`,
    ),
  );
}

// ── coming together again ──

async function rejoin(options: CommonOptions & { readonly other: string }): Promise<void> {
  const trust = await trustOf(options);
  const parent = trust.network.parent;
  if (parent === undefined)
    throw coded("NO_SIBLING", "this network came from no split: there is no other group");
  const other = options.other.replace(/\/+$/, "");
  const report = await askJson<SplitsReport>(`${other}/.smalti/splits.json`);
  const parentTrust = { ...trust, network: parent.network };
  const sibling = report.groups
    .map((row) => verified(row, parentTrust))
    .find((group) => group.ok && group.value.group === report.network);
  if (sibling?.ok !== true)
    throw coded("NO_SIBLING", `${other} is no host of a group that split where this one did`);
  const theirs = fractionOf(parent.network, sibling.value);
  if (!theirs.ok) throw coded(theirs.error.code, theirs.error.detail);
  const writers = serversOf(options, trust);
  await admit(writers, sibling.value);
  const from = { ...trust, network: theirs.value };
  const rows = await resubmitAll({
    to: trust,
    writers,
    from,
    other,
    since: sibling.value.plan.parent.height,
  });
  if (options.output === "json") return sayJson(rows);
  if (rows.length === 0) return say("the other group has published nothing since the split");
  sayTable(
    ["their height", "tree", "update", "here"],
    rows.map(({ height, tree, id, outcome }) => [String(height), tree, id.slice(0, 16), outcome]),
  );
}

/** The order admits the other group's publishers' records first. */
async function admit(writers: readonly string[], sibling: SplitGroup): Promise<void> {
  const headers = { "content-type": "application/octet-stream" };
  for (const writer of writers) {
    await askJson(`${writer}/.smalti/v1/origins`, { method: "POST", headers, body: sibling.wire });
    for (let i = 0; i < 100; i++) {
      const url = `${writer}/.smalti/v1/origins/${sibling.group}`;
      if ((await askJson<{ admitted: boolean }>(url)).admitted) break;
      await sleep(100);
    }
  }
}

interface Resubmitted {
  readonly height: number;
  readonly tree: string;
  readonly id: string;
  readonly outcome: string;
}

/** The files of a change list, by their content, in a directory. */
async function bring(
  client: MirrorClient,
  list: ChangeList,
  directory: string,
): Promise<ReadonlyMap<Digest, string>> {
  const leaves = new Map<string, Leaf>();
  const files = new Map<Digest, string>();
  // By numbers: paths of a change list may be the same on this file system.
  for (const [i, { leaf }] of list.changes.entries()) {
    if (leaf?.kind !== "file" || files.has(leaf.digest)) continue;
    leaves.set(String(i), leaf);
    files.set(leaf.digest, join(directory, String(i)));
  }
  await exportTree(client, leaves, { directory });
  return files;
}

/** Everything that the other group published since the split, in its order; each with its proof before it is believed. */
async function resubmitAll(by: {
  readonly to: Trust;
  readonly writers: readonly string[];
  readonly from: Trust;
  readonly other: string;
  readonly since: number;
}): Promise<readonly Resubmitted[]> {
  const { heights } = await askJson<{ heights: { height: number; update: string }[] }>(
    `${by.other}/.smalti/v1/heights?limit=1000`,
  );
  const later = heights
    .filter(({ height }) => height > by.since)
    .sort((a, b) => a.height - b.height);
  const client = new MirrorClient({
    trust: by.from,
    servers: [by.other],
    maxAgeS: Number.POSITIVE_INFINITY,
  });
  const directory = await mkdtemp(join(tmpdir(), "smalti-rejoin-"));
  const rows: Resubmitted[] = [];
  try {
    for (const { height, update } of later) {
      const { receipt } = await askJson<{ receipt?: { record?: string } }>(
        `${by.other}/.smalti/v1/updates/${update}`,
      );
      const proven = verifyReceipt(by.from, receipt);
      if (!proven.ok) throw coded(proven.error.code, `${by.other}: ${proven.error.detail}`);
      const wire = fromBase64(receipt?.record ?? "") ?? new Uint8Array(0);
      const signed = readUpdate(wire, undefined, by.from.verifier);
      // A change of rights is each group's own matter.
      if (!signed.ok) continue;
      const { record } = signed.value;
      const changes = await client.small(
        record.changes.digest,
        `/.smalti/blob/sha256/${record.changes.digest}`,
      );
      const list = decodeChanges(changes);
      if (!list.ok) throw coded(list.error.code, list.error.detail);
      const files = await bring(client, list.value, join(directory, String(height)));
      const outcome = await resubmit({
        trust: by.to,
        writers: by.writers,
        update: signed.value,
        changes,
        files,
      });
      rows.push({ height, tree: record.tree, id: update, outcome });
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return rows;
}
