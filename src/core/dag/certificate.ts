import { fromHex, limits, type Result } from "../base/index.ts";
import { digest, encode, fields, list, natural, read, type Shape } from "../codec/index.ts";
import type { Certificate } from "../consensus/index.ts";
import { signedHeaderShape, signedHeaderValue } from "./block.ts";
import type { CommitCertificate } from "./commit-votes.ts";

/** A certificate as it is kept; encoded when that is asked for, since most are followed by a newer one before. */
export class DagCertificate implements Certificate {
  readonly #certificate: CommitCertificate;

  constructor(certificate: CommitCertificate) {
    this.#certificate = certificate;
  }

  get index(): number {
    return this.#certificate.index;
  }

  get bytes(): Uint8Array {
    const { index, digest: commit, voters } = this.#certificate;
    return encode([index, fromHex(commit), voters.map(signedHeaderValue)]);
  }
}

const certificateShape: Shape<CommitCertificate> = (value, what) => {
  const [index, commit, voters] = fields(3)(value, what);
  return {
    index: natural()(index, `${what}.index`),
    digest: digest(commit, `${what}.digest`),
    voters: list(signedHeaderShape, limits.committeeWritersMax)(voters, `${what}.voters`),
  };
};

/** Reads a kept certificate; nothing is verified. Faults: MALFORMED_*, NOT_CANONICAL. */
export function readCertificate(bytes: Uint8Array): Result<CommitCertificate> {
  return read(bytes, certificateShape, "certificate");
}
