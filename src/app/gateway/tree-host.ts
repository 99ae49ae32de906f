import type { FastifyReply, FastifyRequest } from "fastify";
import type { Digest } from "../../core/base/index.ts";
import type { MissingNodeError } from "../../core/mirror/index.ts";
import type { BlobStore } from "../../io/ports/index.ts";
import type { Archive, PinnedTrees } from "../store/index.ts";

/** What trees over HTTP are served from: a host that holds them, or a proxy that fetches and verifies them. */
export interface TreeHost {
  /** Height that is served as the latest. */
  readonly servedHeight: number;
  readonly archive: Pick<Archive, "directories" | "entry" | "changedMs"> & {
    height(height: number): PinnedTrees | undefined;
  };
  readonly blobs: Pick<BlobStore, "has" | "stream" | "lend">;
  status(): { readonly moniker: string };
  /** Asks the content fetcher for a blob that a client wanted and the disk lost. */
  wantBlob(blob: { readonly digest: Digest; readonly size: number }): void;
  /** Brings what is missing of the directories, so that a request can be tried again; a host that holds all has none. */
  readonly bring?: (missing: MissingNodeError, request: FastifyRequest) => Promise<void>;
  /** Brings the trees of a past height; a host that holds all has none. */
  readonly pin?: (height: number) => Promise<void>;
  /** The newest height at or before a time, POSIX milliseconds; 0 if there is none. */
  heightAt(tsMs: number): Promise<number> | number;
  /** What it says of itself as Debian's mirrors do. */
  readonly trace?: () => string;
  /** Base URL by which clients reach it, where that is not what their requests say. */
  readonly external?: string | undefined;
  /** False for heights whose content is not kept here any more; without it, all are. */
  readonly keeps?: (height: number) => boolean;
  /** Where else what is here stands: base URLs of servers against which nothing is to be said. */
  readonly duplicates?: () => readonly string[];
  /** What a client is told of content that cannot be sent; without it, that the disk damaged it. */
  readonly refusal?: (error: unknown) => { readonly status: number; readonly code: string };
}

/** A request for what stands in a tree. */
export interface TreeExchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** Signs an answer about a file, if the client asked for that. */
export type AnswerSigner = (
  exchange: TreeExchange,
  answer: {
    readonly status: number;
    readonly height: number;
    readonly content: Digest | undefined;
  },
) => Promise<void>;
