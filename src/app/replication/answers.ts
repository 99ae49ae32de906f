import type { Author } from "../../core/base/index.ts";
import type { Question } from "../store/index.ts";

/** Questions of a peer that wait while one of its questions is answered; more are dropped, the peer asks again. */
const waitingMax = 4;

/** Answers the questions of each peer in turn, one at a time, in the order in which they came. */
export class Answers {
  readonly #answer: (question: Question) => Promise<void>;
  readonly #waiting = new Map<Author, Question[]>();

  /** `answer` never rejects. */
  constructor(answer: (question: Question) => Promise<void>) {
    this.#answer = answer;
  }

  /** False if the peer has too many open. */
  ask(question: Question): boolean {
    const { peer } = question.link;
    const waiting = this.#waiting.get(peer);
    if (waiting === undefined) {
      void this.#answerAll(question, peer);
      return true;
    }
    if (waiting.length >= waitingMax) return false;
    waiting.push(question);
    return true;
  }

  async #answerAll(first: Question, peer: Author): Promise<void> {
    const waiting: Question[] = [];
    this.#waiting.set(peer, waiting);
    for (let next: Question | undefined = first; next !== undefined; next = waiting.shift())
      await this.#answer(next);
    this.#waiting.delete(peer);
  }
}
