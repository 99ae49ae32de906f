import type { Command } from "commander";

/** Some verbs, and how to come by what defines them. */
export interface VerbRoom {
  readonly verbs: readonly string[];
  readonly load: () => Promise<(program: Command) => void>;
}

/** In the order of the help. Starting costs time, so that a verb loads no more than its own room. */
export const verbRooms: readonly VerbRoom[] = [
  {
    verbs: ["testnet", "init", "genesis", "start", "status", "keys", "config", "show-node-id"],
    load: async () => (await import("./host-commands.ts")).hostCommands,
  },
  {
    verbs: ["publish", "publisher"],
    load: async () => (await import("./publish-commands.ts")).publishCommands,
  },
  { verbs: ["import"], load: async () => (await import("./import-command.ts")).importCommand },
  {
    verbs: ["ls", "cat", "get", "log", "diff", "verify"],
    load: async () => (await import("./tree-commands.ts")).treeCommands,
  },
  { verbs: ["light"], load: async () => (await import("./light-command.ts")).lightCommand },
  { verbs: ["audit"], load: async () => (await import("./audit-command.ts")).auditCommand },
  {
    verbs: ["snapshot"],
    load: async () => (await import("./snapshot-commands.ts")).snapshotCommands,
  },
  { verbs: ["fsck"], load: async () => (await import("./fsck-command.ts")).fsckCommand },
  { verbs: ["gc"], load: async () => (await import("./gc-command.ts")).gcCommand },
  { verbs: ["proof"], load: async () => (await import("./proof-commands.ts")).proofCommands },
  {
    verbs: ["opinion", "evidence"],
    load: async () => (await import("./accountability-commands.ts")).accountabilityCommands,
  },
  { verbs: ["split"], load: async () => (await import("./split-commands.ts")).splitCommands },
  {
    verbs: ["simulate"],
    load: async () => (await import("./simulate-command.ts")).simulateCommand,
  },
];

/** The room of a verb; all of them where the first word is no verb, so that help and errors know every one. */
export function roomsFor(word: string | undefined): readonly VerbRoom[] {
  const found = verbRooms.filter(({ verbs }) => word !== undefined && verbs.includes(word));
  return found.length > 0 ? found : verbRooms;
}
