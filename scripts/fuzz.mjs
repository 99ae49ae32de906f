// Long fuzzing: npm run fuzz -- [peers|http|dag] [options]; without a name, what a peer can say.
const targets = { peers: "wire-fuzz", http: "http-fuzz", dag: "dag-fuzz" };
const [, , given] = process.argv;
const isNamed = given !== undefined && !given.startsWith("-");
if (isNamed) process.argv.splice(2, 1);
const target = targets[isNamed ? given : "peers"];
if (target === undefined) {
  console.error(`nothing is called ${given}; there are ${Object.keys(targets).join(", ")}`);
  process.exit(2);
}
await import(`../dist/test/campaign/${target}.js`);
