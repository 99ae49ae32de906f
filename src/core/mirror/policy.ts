import {
  compareText,
  type Digest,
  fail,
  fromHex,
  limits,
  ok,
  type PublicKey,
  type Result,
} from "../base/index.ts";
import {
  encode,
  fields,
  list,
  natural,
  publicKey,
  type Shape,
  text,
  type Value,
} from "../codec/index.ts";
import { isSoundKey, taggedDigest } from "../crypto/index.ts";
import { isTreeName } from "./path.ts";
import type { PolicyRecord, UpdateRecord } from "./update.ts";

/** Who may write which trees: part of the ordered state. */
export interface Policy {
  /** Rises with each change. */
  readonly version: number;
  readonly administrators: readonly PublicKey[];
  /** In key order. */
  readonly publishers: readonly Publisher[];
}

interface Publisher {
  readonly key: PublicKey;
  readonly name: string;
  /** Names of trees, or prefixes that end in `*`; after `import:` only for what writers saw at its source. */
  readonly trees: readonly string[];
  /** Updates of his that are taken in one hour of the order's time; `undefined`: `limits.updatesPerHour`. */
  readonly perHour?: number | undefined;
}

/** How many updates of a publisher are taken in an hour. */
export function quotaOf(policy: Policy, key: PublicKey): number {
  return policy.publishers.find((known) => known.key === key)?.perHour ?? limits.updatesPerHour;
}

/**
 * Room for one more in what is counted by publisher: who may write nothing any more goes. Administrators may have let more
 * publishers in, one after the other, than there can be at once; what is counted is written and must be read again.
 */
export function makeRoomFor(counted: Map<PublicKey, number>, { publishers }: Policy): void {
  if (counted.size < limits.publishersMax) return;
  const known = new Set(publishers.map(({ key }) => key));
  for (const key of counted.keys()) if (!known.has(key)) counted.delete(key);
}

const importOnly = "import:";

/** True for a tree's name, or one that ends in `*`. */
export function isTreePattern(pattern: string): boolean {
  const name = pattern.startsWith(importOnly) ? pattern.slice(importOnly.length) : pattern;
  return name === "*" || isTreeName(name.endsWith("*") ? name.slice(0, -1) : name);
}

function covers(pattern: string, tree: string): boolean {
  return pattern.endsWith("*") ? tree.startsWith(pattern.slice(0, -1)) : pattern === tree;
}

/** True if the policy lets the publisher of a record write its tree, the way the record wants to. */
export function mayWrite(
  policy: Policy,
  { publisher: key, tree, source }: Pick<UpdateRecord, "publisher" | "tree" | "source">,
): boolean {
  const publisher = policy.publishers.find((known) => known.key === key);
  const grants = publisher?.trees ?? [];
  return grants.some((pattern) =>
    pattern.startsWith(importOnly)
      ? source !== undefined && covers(pattern.slice(importOnly.length), tree)
      : covers(pattern, tree),
  );
}

/** The policy after a record whose signature was checked. Faults: NOT_ADMINISTRATOR, STALE_POLICY, BAD_GRANT. */
export function changePolicy(policy: Policy, record: PolicyRecord): Result<Policy> {
  if (!policy.administrators.includes(record.administrator)) {
    return fail("NOT_ADMINISTRATOR", "the key is not an administrator's");
  }
  if (record.version !== policy.version) {
    return fail(
      "STALE_POLICY",
      `made for policy ${record.version}; the policy is at ${policy.version}`,
    );
  }
  if (!record.trees.every(isTreePattern))
    return fail("BAD_GRANT", "a grant names a tree, or a prefix and *");
  if (!isSoundKey(record.publisher)) return fail("BAD_GRANT", "the publisher's key proves nothing");
  const others = policy.publishers.filter((known) => known.key !== record.publisher);
  if (others.length >= limits.publishersMax) return fail("BAD_GRANT", "too many publishers");
  const { publisher: key, name, trees, perHour } = record;
  const granted = others.reduce((sum, other) => sum + other.trees.length, trees.length);
  if (granted > limits.grantsTotalMax) return fail("BAD_GRANT", "too many grants");
  const publishers = trees.length === 0 ? others : [...others, { key, name, trees, perHour }];
  publishers.sort((a, b) => compareText(a.key, b.key));
  return ok({ ...policy, version: policy.version + 1, publishers });
}

export function policyValue(policy: Policy): Value {
  return [
    policy.version,
    policy.administrators.map(fromHex),
    policy.publishers.map(publisherValue),
  ];
}

/** What is not said has no field: so the bytes of what was said before quotas were stay as they are. */
function publisherValue({ key, name, trees, perHour }: Publisher): Value {
  return [fromHex(key), name, trees, ...(perHour === undefined ? [] : [perHour])];
}

export const policyStateShape: Shape<Policy> = (value, what) => {
  const [version, administrators, publishers] = fields(3)(value, what);
  return {
    version: natural()(version, `${what}.version`),
    administrators: list(publicKey, limits.grantsMax)(administrators, `${what}.administrators`),
    publishers: list((item, name) => {
      const [key, label, trees, perHour] = fields(3, 1)(item, name);
      return {
        key: publicKey(key, `${name}.key`),
        name: text(limits.treeNameBytesMax)(label, `${name}.name`),
        trees: list(text(limits.grantBytesMax), limits.grantsMax)(trees, `${name}.trees`),
        ...(perHour === undefined ? {} : { perHour: natural()(perHour, `${name}.perHour`) }),
      };
    }, limits.publishersMax)(publishers, `${what}.publishers`),
  };
};

export function policyDigest(policy: Policy): Digest {
  return taggedDigest("policy", encode(policyValue(policy)));
}
