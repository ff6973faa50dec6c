/// <reference types="node" />

/** A moment when a call is no longer wanted; where the runtime has `AbortSignal`, one of those. */
export interface Signal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** What every method can be told. */
export interface CallOptions {
  /**
   * Rejects the call with an `AbortError` as soon as it fires. A reserve without a `reserveId` gives back what it
   * has claimed; any other call that has reached the database is carried out all the same.
   */
  signal?: Signal;
}

/** The parts of a connection string, or a whole one. */
export interface MongoParts {
  uri?: string;
  /** Of the hosts that name none; 27017 by default. */
  port?: number | string;
  hostUrls?: string[];
  username?: string;
  password?: string;
  /** Names that are not known here are passed over: they were the former driver's. */
  options?: {
    replicaSet?: string;
    dbName?: string;
    authSource?: string;
    readPreference?: string;
    ssl?: boolean;
    tls?: boolean;
    poolSize?: number | string;
    maxPoolSize?: number | string;
    connectTimeoutMS?: number | string;
    serverSelectionTimeoutMS?: number | string;
    [other: string]: unknown;
  };
}

/** How to reach the database, and how long a reservation lasts. Times are in milliseconds. */
export interface ConnectOptions {
  /** MongoDB connection string of a replica set. Its write concern must be `majority`, or not be named. */
  uri?: string;
  /** Instead of `uri`: the parts of one, as a configuration of the deployed service has them in `titan.mongo`. */
  mongo?: MongoParts;
  /** The database; by default the one in the path of `uri`. */
  database?: string;
  /** The collection of the codes; `codes` by default. */
  collection?: string;
  /** How long a reservation holds its codes: 24 hours by default; a second to ten years. */
  reservationTtlMS?: number;
  /** How long to look for a server before a call is rejected as `unavailable`: 5,000 by default. */
  serverSelectionTimeoutMS?: number;
  /** How long a call waits for the database once it has written something: 20,000 by default, at least 5,000. */
  patienceMS?: number;
  /** How often to look for codes that dead attempts have left: every 10,000 by default. */
  sweepIntervalMS?: number;
}

/** Where a code stands. */
export type Status = 'available' | 'reserved' | 'assigned';

/** How far a `save` has come. */
export interface SaveProgress {
  /** Rows read. */
  in: number;
  /** Codes that were new. */
  inserted: number;
  /** Rows whose code was there already. */
  updated: number;
  /** Rows that hold no valid code. */
  rejected: number;
}

/** What a `save` did: `in` = `inserted` + `updated` + `rejected`. */
export interface SaveReport extends SaveProgress {
  /** The first thousand rejected rows: the line in a file, the place in a list from 1, and why. */
  rejections: Array<{ row: number; reason: string }>;
}

export interface SaveArguments extends CallOptions {
  /** The campaign that owns the codes. */
  campaignId: string;
  /** Their type, such as `tm` or `external`. */
  type: string;
  /**
   * The codes: an array or an (async) iterable of strings; or a CSV file, as a Buffer, a stream or an (async)
   * iterable of Buffers. Of a file the first column counts, and a first line that is just `code`, or the header of
   * an export, is skipped. What is iterated is asked for more only when the database has taken most of what came
   * before: some 20,000 codes, or half a megabyte of a file, may be ahead. A stream that the save does not read to
   * its end is destroyed.
   */
  codes:
    | readonly string[]
    | (Iterable<string> & object)
    | AsyncIterable<string>
    | Uint8Array
    | Iterable<Uint8Array>
    | AsyncIterable<Uint8Array>
    | NodeJS.ReadableStream;
  /** Called after every few thousand rows, and at the end. What it throws ends the save. */
  progress?: (progress: SaveProgress) => void;
}

export interface ReserveArguments extends CallOptions {
  /** The campaign that owns the codes. */
  campaignId: string;
  /** The type of code. */
  type: string;
  /** How many: 1 to 100,000. */
  count: number;
  /** Whether fewer will do when fewer exist; all or nothing by default. */
  partial?: boolean;
  /**
   * Your own id, 1 to 256 bytes. It makes the call idempotent: from any process, at the same time or after a
   * crash, the same id gives the same codes until they expire.
   */
  reserveId?: string;
}

/** Codes that are held under one id. */
export interface Reservation {
  /** The id they are held under; a random one unless you brought yours. */
  reserveId: string;
  /** The codes, in no order. */
  codes: string[];
  /** When they were reserved, by the database server's clock. */
  reserved: Date;
  /** Until when they are held. */
  expires: Date;
  /** Whether an earlier call under the same id reserved them. */
  replayed: boolean;
}

/** A code with everything the database knows of it. */
export interface StoredCode {
  code: string;
  type: string;
  /** By the database server's time when it was read. */
  status: Status;
  saved: Date | null;
  /** Kept after the code is assigned, and after it expires until it is reserved again. */
  reserved: Date | null;
  assigned: Date | null;
  /** The id it was last reserved under. */
  reserveId: string | null;
}

/** What became of a reservation. */
export interface ReservationState {
  reserveId: string;
  campaignId: string;
  type: string;
  /** Without those that were released, or expired and taken by others. */
  codes: StoredCode[];
  reserved: Date;
  expires: Date;
}

export interface SettleArguments extends CallOptions {
  /** The campaign that owns the codes. */
  campaignId: string;
  /** The codes. */
  codes: string[];
  /** Only codes that are still held under this id are changed; the others come back as `lost`. */
  reserveId?: string;
}

/** What an `assign` or a `release` did. */
export interface SettleReport {
  /** How many codes were given. */
  in: number;
  /** How many of them changed. */
  updated: number;
  /** With a `reserveId`: those that are not held under it. Without one: empty. */
  lost: string[];
}

/** How many codes of a campaign and type have each status. */
export interface Counts {
  available: number;
  reserved: number;
  assigned: number;
}

export interface ExportArguments extends CallOptions {
  campaignId: string;
  /** Only codes of this type. */
  type?: string;
  /** Only codes with this status, by the database server's time when the export begins. */
  status?: Status;
  /** Only codes that were last reserved under this id. */
  reserveId?: string;
  /** Only codes behind this one, to go on where an export ended. */
  after?: string;
}

/** An index that is not as it must be. */
export interface IndexProblem {
  collection: string;
  index: string;
  /** Whether there is one of other properties in its place. */
  different: boolean;
  /** What is wrong, and the command that mends it. */
  message: string;
}

/**
 * The service on one collection of codes.
 *
 * Every method takes one object. A promise is rejected with a {@link CodeServiceError}; with an `AbortError`, if the
 * call's signal has fired; or, of `save`, with what its source or its callback has thrown. A call that is under way
 * keeps the process alive; a service that has nothing to do does not.
 *
 * ```js
 * const { CodeService } = require('code-service');
 *
 * const service = await CodeService.connect({ uri: 'mongodb://localhost:27017/demo?replicaSet=rs0' });
 * const { reserveId, codes } = await service.reserve({ campaignId: 'summer', type: 'tm', count: 2 });
 * await service.assign({ campaignId: 'summer', codes, reserveId });
 * await service.close();
 * ```
 */
export class CodeService {
  private constructor();

  /** Connects, and checks that the database is a replica set. */
  static connect(options: ConnectOptions): Promise<CodeService>;

  /**
   * Saves codes into a campaign: new ones are inserted, those that are there get the type and a new date of saving
   * and keep everything else. Saving the same rows again is safe.
   */
  save(args: SaveArguments): Promise<SaveReport>;

  /**
   * Reserves codes under one id.
   *
   * Rejected as `not_enough_codes` (with `wanted` and `available`) if fewer are available, and `outcome_unknown`
   * (with `reserveId`) if nobody can tell for twenty seconds whether codes are held: then `recover` that id.
   */
  reserve(args: ReserveArguments): Promise<Reservation>;

  /**
   * Finds out what became of a reserve whose outcome is unknown, or whose answer never arrived: waits for attempts
   * that are at work, and ends dead ones. `null`: nothing is held, and nothing of what had begun will be.
   */
  recover(args: { reserveId: string } & CallOptions): Promise<ReservationState | null>;

  /** The codes of a reservation; `null` if nothing is held under the id. */
  reservation(args: { reserveId: string } & CallOptions): Promise<ReservationState | null>;

  /** Assigns codes for good, whether they are reserved or available. */
  assign(args: SettleArguments): Promise<SettleReport>;

  /** Releases reserved codes into the pool. Codes that are assigned stay so. */
  release(args: SettleArguments): Promise<SettleReport>;

  /** Counts the codes of a campaign and type. */
  count(args: { campaignId: string; type: string } & CallOptions): Promise<Counts>;

  /** Looks one code up; `null` if the campaign has none such. */
  find(args: { campaignId: string; code: string } & CallOptions): Promise<StoredCode | null>;

  /** The codes of a campaign in the order of their bytes. Go to the end or leave the loop: `return()` lets go of it. */
  export(args: ExportArguments): AsyncIterableIterator<StoredCode>;

  /** Creates the database indexes that are missing. On millions of codes this takes minutes. */
  ensureIndexes(args?: CallOptions): Promise<void>;

  /** Says what is wrong with the indexes: nothing, if the list is empty. */
  verifyIndexes(args?: CallOptions): Promise<IndexProblem[]>;

  /**
   * Lets calls that are under way end, also what aborted ones still have to do, and closes the connections. An export
   * between two codes is cut off. Closing twice changes nothing; a service that is not closed is never freed.
   */
  close(): Promise<void>;
}

/** What an error says to do: the same words as in every face of the service. */
export type ErrorCode =
  /** Fix the call: `argument` names what is wrong. */
  | 'invalid_argument'
  /** Ask for fewer codes, or save more. */
  | 'not_enough_codes'
  /** Use a new reserveId, or repeat the first call exactly. */
  | 'reservation_mismatch'
  /** Use a new reserveId. */
  | 'reservation_expired'
  /** Back off and repeat the call. */
  | 'unavailable'
  /** Recover `reserveId` before doing anything else. */
  | 'outcome_unknown'
  /** Connect again. */
  | 'closed'
  /** Tell the people who run the database. */
  | 'corrupt_data'
  /** Tell the people who run the service. */
  | 'internal';

/** Why a call was rejected. */
export class CodeServiceError extends Error {
  private constructor();
  readonly name: 'CodeServiceError';
  readonly code: ErrorCode;
  /** Whether repeating the same call later can succeed. */
  readonly retryable: boolean;
  /** Of `outcome_unknown`: the id under which codes may be held. */
  readonly reserveId?: string;
  /** Of `invalid_argument`: the argument, such as `codes[3]`. */
  readonly argument?: string;
  /** Of `not_enough_codes`: how many were asked for. */
  readonly wanted?: number;
  /** Of `not_enough_codes`: how many were available. */
  readonly available?: number;
  /** What the database reported, for the log. */
  readonly cause?: string;
}
