/**
 * A clock that tests turn by hand, and sockets that they play the server of.
 */

import type { ISocket, ITimers } from '../src/feed';
import type { Feed } from '../src/state';

/** Timers that fire when the test says so. */
export class Clock implements ITimers {
  nowMs = 0;

  setTimeout(callback: () => void, delayMs: number): number {
    this._last += 1;
    this._timers.set(this._last, { callback, atMs: this.nowMs + delayMs });
    return this._last;
  }

  clearTimeout(id: number): void {
    this._timers.delete(id);
  }

  /** How many timers wait. */
  get size(): number {
    return this._timers.size;
  }

  /** Let time pass; what promises wait for is done in between. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      await settle();
      const [next] = [...this._timers]
        .filter(([, timer]) => timer.atMs <= endMs)
        .sort(([, a], [, b]) => a.atMs - b.atMs);
      if (next === undefined) {
        break;
      }
      const [id, { callback, atMs }] = next;
      this._timers.delete(id);
      this.nowMs = atMs;
      callback();
    }
    this.nowMs = endMs;
  }

  private readonly _timers = new Map<number, { callback: () => void; atMs: number }>();
  private _last = 0;
}

/** Let everything happen that waits for no timer. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) {
    await Promise.resolve();
  }
}

/** The page's end of a socket whose server is the test. */
export class FakeSocket implements ISocket {
  onmessage: ((event: MessageEvent<string>) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  isClosed = false;

  close(): void {
    this.isClosed = true;
  }

  /** The server sends. */
  send(...updates: Feed[]): void {
    for (const update of updates) {
      this.onmessage?.({ data: JSON.stringify(update) } as MessageEvent<string>);
    }
  }

  /** The server closes, or the line breaks. */
  break(code = 1006): void {
    this.onclose?.({ code } as CloseEvent);
  }
}
