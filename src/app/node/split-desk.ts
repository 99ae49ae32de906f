import {
  type Author,
  type Digest,
  fail,
  limits,
  ok,
  type Result,
  toBase64,
} from "../../core/base/index.ts";
import { lineageOf } from "../../core/committee/index.ts";
import { decodeState, messageKinds, stateKeys } from "../../core/mirror/index.ts";
import {
  groupIdentity,
  readGroup,
  readPlan,
  type SplitGroup,
  type SplitParent,
} from "../../core/split/index.ts";
import type { GroupRow, HostSplits, PlanRow, SplitsReport } from "../gateway/index.ts";
import type { Engine, Parts } from "./parts.ts";

/** What a host shows of splits, and what its operator decides about them. */
export class SplitDesk implements HostSplits {
  readonly #parts: Parts;
  readonly #engine: Engine;

  constructor(parts: Parts, engine: Engine) {
    this.#parts = parts;
    this.#engine = engine;
  }

  report(): SplitsReport {
    const { network, config } = this.#parts;
    return {
      version: 1,
      host: config.moniker,
      network: network.group,
      lineage: lineageOf(network).map(({ group }) => group),
      plans: this.#plans(),
      groups: this.#groups(),
    };
  }

  #plans(): readonly PlanRow[] {
    const { writers } = this.#parts.network;
    const names = (authors: readonly number[]): string[] =>
      authors.map((author) => writers[author]?.name ?? String(author));
    const plans = this.#engine.writer?.plans ?? [];
    return plans.map(({ plan, joining, signed, founded }) => ({
      id: plan.id,
      size: plan.parent.size,
      height: plan.parent.height,
      sides: plan.sides.map(names),
      groups: [groupIdentity(plan, 0), groupIdentity(plan, 1)],
      joining: names(joining),
      signed: names(signed),
      founded: founded.map((side) => groupIdentity(plan, side)),
      wire: toBase64(plan.wire),
    }));
  }

  /** Groups that split from this network, or from one that it comes from. */
  #groups(): readonly GroupRow[] {
    const { core, network, verifier } = this.#parts;
    const rows: GroupRow[] = [];
    for (const wire of core.splits) {
      for (const ancestor of lineageOf(network)) {
        const group = readGroup(wire, { network: ancestor, verifier });
        if (group.ok) rows.push(rowOf(group.value, ancestor.writers));
      }
    }
    return rows;
  }

  /** Proposes a split, and consents to it: the operator asked for it. */
  async propose(): Promise<Result<{ readonly id: Digest }>> {
    const { writer } = this.#engine;
    const { config, core, network } = this.#parts;
    const parent = this.#parent();
    if (writer === undefined) return fail("NOT_A_WRITER", "a reader follows; it is in no group");
    if (parent === undefined) return fail("NOT_FOUND", "nothing is certified here yet");
    const proofs = new Map<Author, Uint8Array>();
    for (const { index, nodeKey } of network.writers) {
      const evidence = core.archive.conviction(nodeKey)?.evidence;
      const wire = evidence && core.archive.proofOfMisdeed(evidence);
      if (wire !== undefined) proofs.set(index, wire);
    }
    const splitAfterMs = config.opinion.split_after_s * 1000;
    const plan = await writer.proposeSplit({ parent, proofs, splitAfterMs });
    if (!plan.ok) return plan;
    writer.push({ type: "split-plan", wire: plan.value.wire });
    return this.#join(plan.value.id);
  }

  #parent(): SplitParent | undefined {
    const { core, network, store } = this.#parts;
    const stored = store.state.get(stateKeys.certifiedState);
    const state = stored === undefined ? undefined : decodeState(stored);
    const head = core.head;
    if (state?.ok !== true || head === undefined || head.due.size !== state.value.log.size)
      return undefined;
    const { size, root, height } = head.due;
    const { commit, tsMs } = state.value;
    const { group, epoch } = network;
    return { group, epoch, size, root, note: head.note, height, commit, tsMs };
  }

  /** The operator consents to a plan that is known here, or brings one. */
  join(what: Digest | Uint8Array): Result<{ readonly id: Digest }> {
    const { network, verifier } = this.#parts;
    if (typeof what === "string") {
      const isKnown = this.#engine.writer?.plans.some(({ plan }) => plan.id === what) === true;
      return isKnown ? this.#join(what) : fail("NOT_FOUND", "no such plan is known here");
    }
    const plan = readPlan(what, { network, verifier });
    if (!plan.ok) return plan;
    this.#engine.writer?.push({ type: "split-plan", wire: plan.value.wire });
    return this.#join(plan.value.id);
  }

  #join(id: Digest): Result<{ readonly id: Digest }> {
    const { writer } = this.#engine;
    if (writer === undefined) return fail("NOT_A_WRITER", "a reader follows; it is in no group");
    writer.push({ type: "split-join", plan: id });
    return ok({ id });
  }

  /** Admits the other group's publishers' records into this order. */
  admit(wire: Uint8Array): Result<{ readonly group: Digest }> {
    const { writer } = this.#engine;
    const { network, verifier } = this.#parts;
    if (writer === undefined) return fail("NOT_A_WRITER", "this host is a reader");
    if (network.parent === undefined)
      return fail("NO_SIBLING", "this network came from no split: there is no other group");
    const split = readGroup(wire, { network: network.parent.network, verifier });
    if (!split.ok) return split;
    const { group } = split.value;
    if (group === network.group) return fail("NO_SIBLING", "this is the group itself");
    if (wire.length > limits.messageBytesMax)
      return fail("BAD_REQUEST", `the order takes documents of ${limits.messageBytesMax} bytes`);
    if (writer.whyNot !== undefined) return fail(writer.whyNot.code, writer.whyNot.detail);
    if (!writer.state.origins.has(group))
      writer.orderSigned(messageKinds.origin, Uint8Array.from(wire));
    return ok({ group });
  }

  isAdmitted(group: Digest): boolean {
    return this.#parts.core.role.state.origins.has(group);
  }
}

function rowOf(
  { group, plan, members, wire }: SplitGroup,
  writers: readonly { readonly name: string; readonly http: string }[],
): GroupRow {
  return {
    group,
    parent: plan.parent.group,
    size: plan.parent.size,
    height: plan.parent.height,
    members: members.flatMap((author) => {
      const writer = writers[author];
      return writer === undefined ? [] : [{ name: writer.name, http: writer.http }];
    }),
    wire: toBase64(wire),
  };
}
