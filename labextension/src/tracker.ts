/**
 * Follows the active notebook to the burrow of its kernel, and feeds the model while
 * somebody looks. A hidden panel has no connection and asks nothing.
 *
 * A kernel without a burrow is asked about only when that can have changed: when the panel
 * appears, when the kernel goes busy or idle, and once a second while it is busy (a cell may
 * start a burrow and go on running).
 */

import type { IDisposable } from '@lumino/disposable';

import type { ISocket, ITimers } from './feed';
import { FeedConnection, RETRY_FIRST_MS, RETRY_MAX_MS } from './feed';
import type { BurrowModel } from './model';
import { RequestError } from './requests';
import type { IListing } from './state';
import type { INotebook } from './tokens';

/** How often a busy kernel without a burrow is looked at. */
export const LOOK_BUSY_MS = 1000;

/** Pause between a kernel's change and the look: a change seldom comes alone. */
export const LOOK_SOON_MS = 150;

/** The part of `BurrowApi` that is used. */
export interface IBurrows {
  list(): Promise<readonly IListing[]>;
  openEvents(session: string): ISocket;
}

/** What a tracker needs. */
export interface ITrackerOptions {
  readonly model: BurrowModel;
  readonly api: IBurrows;
  readonly timers: ITimers;
  /** This page's clock in milliseconds. */
  now(): number;
}

/** Keeps the model at the burrow of the active notebook. */
export class BurrowTracker implements IDisposable {
  /** @param options - What it needs. */
  constructor(options: ITrackerOptions) {
    this._options = options;
  }

  /** Session of the burrow that is followed, "" if none. */
  get session(): string {
    return this._session;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Tell which notebook is active and how its kernel is. */
  setNotebook(notebook: INotebook | null): void {
    const before = this._notebook;
    this._notebook = notebook;
    if (before?.kernelId !== notebook?.kernelId || before?.name !== notebook?.name) {
      this._unfollow();
      this._endedSession = '';
      const kind =
        notebook === null ? 'no-notebook' : notebook.kernelId === '' ? 'no-kernel' : 'connecting';
      this._options.model.setNotebook(notebook?.name ?? '', { kind });
      void this._look();
    } else if (before?.busy !== notebook?.busy) {
      this._lookIn(LOOK_SOON_MS);
    }
  }

  /** Tell whether somebody can see the panel. */
  setVisible(visible: boolean): void {
    if (visible === this._visible) {
      return;
    }
    this._visible = visible;
    if (visible) {
      void this._look();
    } else {
      this._unfollow();
    }
  }

  /** Try again now whatever failed. */
  reconnect(): void {
    this._feed?.retryNow();
    void this._look();
  }

  dispose(): void {
    this._isDisposed = true;
    this._unfollow();
  }

  /** Look for a burrow of the active kernel, unless one is followed. */
  private async _look(): Promise<void> {
    this._cancelLook();
    const notebook = this._notebook;
    if (!this._visible || this._feed !== null || !notebook?.kernelId || this._isDisposed) {
      return;
    }
    const look = ++this._looks;
    let listings: readonly IListing[] = [];
    try {
      listings = await this._options.api.list();
    } catch (error) {
      if (look === this._looks) {
        this._onLookFailed(error);
      }
      return;
    }
    if (look !== this._looks) {
      return; // Something else became true in between, and looked itself.
    }
    this._failures = 0;
    const found = newestOf(listings, notebook.kernelId);
    if (found !== null && found.session !== this._endedSession) {
      this._follow(found.session);
      return;
    }
    this._options.model.setPhase({ kind: this._endedSession === '' ? 'no-burrow' : 'ended' });
    if (this._notebook?.busy) {
      this._lookIn(LOOK_BUSY_MS);
    }
  }

  private _onLookFailed(error: unknown): void {
    const { model, now } = this._options;
    if (error instanceof RequestError && error.status < 500) {
      model.setPhase({ kind: 'unavailable', status: error.status, message: error.message });
      return;
    }
    const pauseMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this._failures);
    this._failures += 1;
    model.setPhase({ kind: 'lost', retryAt: now() + pauseMs });
    this._lookIn(pauseMs);
  }

  private _follow(session: string): void {
    const { api, model, timers, now } = this._options;
    this._session = session;
    if (model.state?.burrow.session !== session) {
      model.setPhase({ kind: 'connecting' });
    }
    this._feed = new FeedConnection({
      open: () => api.openEvents(session),
      exists: async () => (await api.list()).some(listing => listing.session === session),
      onUpdate: update => model.apply(update),
      onLost: pauseMs => model.setPhase({ kind: 'lost', retryAt: now() + pauseMs }),
      onEnded: () => {
        this._unfollow();
        this._endedSession = session;
        model.setPhase({ kind: 'ended' });
        this._lookIn(LOOK_SOON_MS);
      },
      timers
    });
  }

  private _unfollow(): void {
    this._cancelLook();
    this._looks += 1;
    this._feed?.dispose();
    this._feed = null;
    this._session = '';
  }

  private _lookIn(delayMs: number): void {
    this._cancelLook();
    this._lookTimer = this._options.timers.setTimeout(() => void this._look(), delayMs);
  }

  private _cancelLook(): void {
    if (this._lookTimer !== null) {
      this._options.timers.clearTimeout(this._lookTimer);
      this._lookTimer = null;
    }
  }

  private readonly _options: ITrackerOptions;
  private _notebook: INotebook | null = null;
  private _visible = false;
  private _feed: FeedConnection | null = null;
  private _session = '';
  /** A head that is shutting down may still be listed. */
  private _endedSession = '';
  /** Number of the newest look; the answer to an older one is of no interest. */
  private _looks = 0;
  private _failures = 0;
  private _lookTimer: number | null = null;
  private _isDisposed = false;
}

function newestOf(listings: readonly IListing[], kernelId: string): IListing | null {
  const own = listings.filter(listing => listing.kernel_id === kernelId);
  return own.reduce<IListing | null>(
    (newest, one) => (newest === null || one.started_at >= newest.started_at ? one : newest),
    null
  );
}
