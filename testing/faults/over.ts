/** The same object with some of its members replaced; the others go on to work upon the object itself. */
export function over<T extends object>(target: T, others: Partial<T>): T {
  return new Proxy(target, {
    get(real, name) {
      if (name in others) return Reflect.get(others, name, others);
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === "function" ? value.bind(real) : value;
    },
  });
}
