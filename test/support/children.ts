import type { ChildProcess } from "node:child_process";
import { Socket } from "node:net";

const running = new Set<ChildProcess>();

/**
 * A process that ends with this one, however the tests end, and does not keep it waiting: one
 * that a failed test forgot would hold up the whole run.
 */
export function endsWithUs<Child extends ChildProcess>(child: Child): Child {
  running.add(child);
  child.once("exit", () => running.delete(child));
  child.unref();
  for (const pipe of [child.stdout, child.stderr]) if (pipe instanceof Socket) pipe.unref();
  return child;
}

function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

process.once("exit", endAll);
// The test runner sends this to a file that takes longer than its limit.
process.once("SIGTERM", () => {
  endAll();
  process.exit(143);
});
