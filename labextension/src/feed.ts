/**
 * The live feed of one burrow over a WebSocket: passes on a snapshot and then deltas without
 * a gap, and reconnects with growing pauses when the connection breaks. Knows no rows, no
 * DOM; sockets and timers are given, so that tests hold the clock.
 */

import type { Feed } from './state';

/** The server's close code for a burrow that is no more. */
export const CLOSE_ENDED = 4001;

/** First pause before a reconnection; each further one is twice as long. */
export const RETRY_FIRST_MS = 500;

/** Longest pause before a reconnection. */
export const RETRY_MAX_MS = 15_000;

/**
 * Silence after which a connection counts as broken. The head samples the machine every
 * second while somebody looks, so each second brings a delta; a laptop that wakes up holds
 * a socket that never closes.
 */
export const SILENCE_MS = 12_000;

/** The part of a WebSocket that is used. */
export interface ISocket {
  onmessage: ((event: MessageEvent<string>) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  close(): void;
}

/** Timers; `window` is one. */
export interface ITimers {
  setTimeout(callback: () => void, delayMs: number): number;
  clearTimeout(id: number): void;
}

/** What a feed needs and tells. */
export interface IFeedOptions {
  /** Opens a socket that brings the events of the burrow. */
  open(): ISocket;
  /** Whether the burrow is still there; rejects while the server can't be reached. */
  exists(): Promise<boolean>;
  onUpdate(update: Feed): void;
  /** The connection broke; the next attempt follows after so many milliseconds. */
  onLost(pauseMs: number): void;
  /** The burrow is no more; nothing follows. */
  onEnded(): void;
  readonly timers: ITimers;
}

/** One burrow's feed. Begins at once, ends by `dispose` or with the burrow. */
export class FeedConnection {
  /** @param options - What it needs and tells. */
  constructor(options: IFeedOptions) {
    this._options = options;
    this._connect();
  }

  /** Whether it has ended. */
  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Try again now instead of after the pause. */
  retryNow(): void {
    if (this._retryTimer !== null) {
      this._clearTimers();
      void this._retry();
    }
  }

  /** Close the connection. No callback is called from here on. */
  dispose(): void {
    this._isDisposed = true;
    this._clearTimers();
    this._closeSocket();
  }

  private _connect(): void {
    const socket = this._options.open();
    this._socket = socket;
    this._seq = null;
    socket.onmessage = event => this._onMessage(event.data);
    socket.onclose = event => {
      this._closeSocket();
      if (event.code === CLOSE_ENDED) {
        this._end();
      } else {
        this._lose();
      }
    };
    this._watchSilence();
  }

  private _onMessage(data: string): void {
    this._watchSilence();
    const update = JSON.parse(data) as Feed;
    if (update.type === 'delta') {
      if (this._seq === null || update.seq !== this._seq + 1) {
        // A gap. The socket takes no questions, and a new one begins with a snapshot.
        this._closeSocket();
        this._connect();
        return;
      }
    } else {
      this._failures = 0;
    }
    this._seq = update.seq;
    this._options.onUpdate(update);
  }

  private _lose(): void {
    this._clearTimers();
    const pauseMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this._failures);
    this._failures += 1;
    this._retryTimer = this._options.timers.setTimeout(() => void this._retry(), pauseMs);
    this._options.onLost(pauseMs);
  }

  private async _retry(): Promise<void> {
    this._retryTimer = null;
    let exists = false;
    try {
      exists = await this._options.exists();
    } catch {
      if (!this._isDisposed) {
        this._lose();
      }
      return;
    }
    if (this._isDisposed) {
      return;
    }
    if (exists) {
      this._connect();
    } else {
      this._end();
    }
  }

  private _end(): void {
    this.dispose();
    this._options.onEnded();
  }

  private _watchSilence(): void {
    const { timers } = this._options;
    if (this._silenceTimer !== null) {
      timers.clearTimeout(this._silenceTimer);
    }
    this._silenceTimer = timers.setTimeout(() => {
      this._closeSocket();
      this._lose();
    }, SILENCE_MS);
  }

  private _clearTimers(): void {
    for (const timer of [this._retryTimer, this._silenceTimer]) {
      if (timer !== null) {
        this._options.timers.clearTimeout(timer);
      }
    }
    this._retryTimer = null;
    this._silenceTimer = null;
  }

  private _closeSocket(): void {
    if (this._socket !== null) {
      this._socket.onmessage = null;
      this._socket.onclose = null;
      this._socket.close();
      this._socket = null;
    }
  }

  private readonly _options: IFeedOptions;
  private _socket: ISocket | null = null;
  private _seq: number | null = null;
  private _failures = 0;
  private _retryTimer: number | null = null;
  private _silenceTimer: number | null = null;
  private _isDisposed = false;
}
