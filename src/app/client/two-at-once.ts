/**
 * Does `work` for every item, two of them at a time: while one is made durable over there, the other is on its way.
 * After a failure no further one is begun; it is thrown once none is under way any more.
 */
export async function twoAtOnce<T>(
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = each(items);
  const lane = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  for (const result of await Promise.allSettled([lane(), lane()]))
    if (result.status === "rejected") throw result.reason;
}

/** A generator, unlike other iterators, ends for all once one loop over it is left. */
function* each<T>(items: Iterable<T>): Generator<T> {
  yield* items;
}
