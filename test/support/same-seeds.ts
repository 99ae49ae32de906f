import fc from "fast-check";

/**
 * Loaded before the tests of `npm test`: properties draw the same cases at each run, so that a run says whether a change
 * broke something. `SMALTI_SEED=random` draws others; what fails prints its seed.
 */
const given = process.env["SMALTI_SEED"];
if (given !== "random") fc.configureGlobal({ seed: Number(given ?? 1) });
