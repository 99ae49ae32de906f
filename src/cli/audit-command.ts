import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import pc from "picocolors";
import { type AuditReport, auditMirror } from "../app/client/index.ts";
import { CodedError, toHex, utf8 } from "../core/base/index.ts";
import { signingBytes, taggedDigest } from "../core/crypto/index.ts";
import { type CommonOptions, clientOf, keyOf, withOutput, withTrust } from "./context.ts";
import { progressBar, say, sayJson, sayTable } from "./output.ts";
import { natural } from "./reading.ts";

interface AuditFlags extends CommonOptions {
  readonly sample: number;
  readonly full?: boolean;
  readonly sign?: boolean;
  readonly evidence?: string;
}

/** `smalti audit`: a mirror seen from outside. */
export function auditCommand(program: Command): void {
  withOutput(
    withTrust(
      program
        .command("audit <url>")
        .description(
          "check a mirror from outside: its height against others, files drawn at random",
        ),
    ),
  )
    .option("--sample <n>", "how many files", natural, 100)
    .option("--full", "all files")
    .option("--sign", "sign what was seen with the publisher's key (--key)")
    .option("--key <file>", "the key to sign with")
    .option("--evidence <file>", "where a proof of a wrong answer is written")
    .action(audit);
}

async function audit(url: string, options: AuditFlags): Promise<void> {
  const { trust, client } = await clientOf(options);
  const bar = progressBar("files");
  const report = await auditMirror({
    trust,
    client,
    mirror: url.replace(/\/+$/, ""),
    sample: options.full === true ? Number.MAX_SAFE_INTEGER : options.sample,
    onSample: (done, total) => bar.update(done, total),
  }).finally(() => bar.stop());
  const proof = report.samples.find(({ evidence }) => evidence !== undefined)?.evidence;
  if (proof !== undefined && options.evidence !== undefined)
    await writeFile(options.evidence, proof);
  const told = {
    ...report,
    samples: report.samples.map(({ evidence, ...rest }) => ({
      ...rest,
      isProven: evidence !== undefined,
    })),
  };
  if (options.output === "json")
    sayJson(options.sign === true ? await signed(told, options) : told);
  else tell(report);
  const bad = report.samples.filter(({ outcome }) => outcome !== "right");
  if (proof !== undefined)
    throw new CodedError("MISBEHAVIOUR", `${report.mirror} signed a wrong answer: that is proven`);
  if (bad.some(({ outcome }) => outcome === "wrong"))
    throw new CodedError("VERIFICATION_FAILED", `${report.mirror} gave wrong bytes`);
  if (bad.length > 0 || report.height === undefined)
    throw new CodedError("INCOMPLETE", `${report.mirror} is not whole`);
}

/** The report, as text, with a signature over its tagged digest. */
async function signed(report: object, options: AuditFlags): Promise<object> {
  const { signer } = await keyOf(options, "publisher");
  const text = JSON.stringify(report);
  const signature = signer.sign(signingBytes("audit", taggedDigest("audit", utf8(text))));
  return { report: text, key: signer.publicKey, signature: toHex(signature) };
}

function tell({ mirror, height, newest, files, samples, problem }: AuditReport): void {
  const count = (outcome: string): number =>
    samples.filter((one) => one.outcome === outcome).length;
  sayTable(
    ["mirror", "height", "newest", "sampled", "right", "wrong", "missing", "no answer"],
    [
      [
        mirror,
        height === undefined ? "none proven" : String(height),
        String(newest),
        `${samples.length} of ${files}`,
        ...["right", "wrong", "missing", "no answer"].map((outcome) => String(count(outcome))),
      ],
    ],
  );
  if (problem !== undefined) say(`${pc.yellow("height")}: ${problem}`);
  for (const { path, outcome, detail, evidence } of samples)
    if (outcome !== "right")
      say(
        `${pc.red(outcome)} ${path}: ${detail}${evidence === undefined ? "" : ", signed: proven"}`,
      );
}
