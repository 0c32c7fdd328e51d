/**
 * The state behind the panel: applies the feed's updates and says when something changed.
 * No DOM, no network; `tracker.ts` feeds it.
 */

import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { Feed, IDelta, ISnapshot } from './state';
import type { IBurrowModel, IBurrowState, ISample, Phase } from './tokens';

/** How far back the curves go; samples come about once a second. */
export const SAMPLES_MAX = 120;

const ENDED: ReadonlySet<string> = new Set(['finished', 'failed', 'cancelled']);

/** Whether a task in this state has come to its end. */
export function hasEnded(task: { readonly state: string }): boolean {
  return ENDED.has(task.state);
}

/** The burrow of the active notebook. */
export class BurrowModel implements IBurrowModel, IDisposable {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get notebook(): string {
    return this._notebook;
  }

  get phase(): Phase {
    return this._phase;
  }

  get state(): IBurrowState | null {
    return this._state;
  }

  get samples(): readonly ISample[] {
    return this._samples;
  }

  get stopping(): ReadonlySet<string> {
    return this._stopping;
  }

  get notice(): string {
    return this._notice;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Another notebook, or none: everything known is about the one before. */
  setNotebook(name: string, phase: Phase): void {
    this._notebook = name;
    this._phase = phase;
    this._notice = '';
    this._forget();
    this._changed.emit();
  }

  /** Set how the panel stands to the burrow; the last known state stays. */
  setPhase(phase: Phase): void {
    if (JSON.stringify(phase) !== JSON.stringify(this._phase)) {
      this._phase = phase;
      this._changed.emit();
    }
  }

  /** Set what went wrong with an action. */
  setNotice(notice: string): void {
    this._notice = notice;
    this._changed.emit();
  }

  /** Note that a task or run was asked to stop; their ids differ. */
  markStopping(id: string): void {
    this._stopping = new Set([...this._stopping, id]);
    this._changed.emit();
  }

  /** Take one update of the feed. */
  apply(update: Feed): void {
    if (update.type === 'snapshot') {
      if (update.burrow.session !== this._state?.burrow.session) {
        this._forget();
      }
      this._state = fromSnapshot(update);
    } else if (this._state !== null) {
      this._state = applyDelta(this._state, update);
    }
    if (update.machine !== null) {
      const { cpu_percent: cpuPercent, burrow_rss_bytes: memoryBytes } = update.machine;
      const sample: ISample = { at: update.at, cpuPercent, memoryBytes };
      this._samples = [...this._samples.slice(1 - SAMPLES_MAX), sample];
    }
    this._dropStopped();
    this._phase = { kind: 'live' };
    this._changed.emit();
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  private _forget(): void {
    this._state = null;
    this._samples = [];
    this._stopping = new Set();
  }

  private _dropStopped(): void {
    if (this._stopping.size > 0) {
      const { tasks, runs } = this._state ?? {};
      const left = [...this._stopping].filter(id => {
        const task = tasks?.get(id);
        return runs?.has(id) === true || (task !== undefined && !hasEnded(task));
      });
      this._stopping = new Set(left);
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private _notebook = '';
  private _phase: Phase = { kind: 'no-notebook' };
  private _state: IBurrowState | null = null;
  private _samples: readonly ISample[] = [];
  private _stopping: ReadonlySet<string> = new Set();
  private _notice = '';
  private _isDisposed = false;
}

/** The state that a snapshot describes. */
export function fromSnapshot(snapshot: ISnapshot): IBurrowState {
  const { seq, at, burrow, machine, objects } = snapshot;
  return {
    seq,
    at,
    burrow,
    machine,
    objects,
    resources: byId(snapshot.resources),
    workers: byId(snapshot.workers),
    functions: byId(snapshot.functions),
    tasks: byId(snapshot.tasks),
    actors: byId(snapshot.actors),
    runs: byId(snapshot.runs)
  };
}

/** The state after a delta. Tables without a change stay the same object. */
export function applyDelta(state: IBurrowState, delta: IDelta): IBurrowState {
  const { gone } = delta;
  return {
    seq: delta.seq,
    at: delta.at,
    burrow: delta.burrow ?? state.burrow,
    machine: delta.machine ?? state.machine,
    objects: delta.objects ?? state.objects,
    resources: merged(state.resources, delta.resources, []),
    workers: merged(state.workers, delta.workers, gone.workers),
    functions: merged(state.functions, delta.functions, gone.functions),
    tasks: merged(state.tasks, delta.tasks, gone.tasks),
    actors: merged(state.actors, delta.actors, gone.actors),
    runs: merged(state.runs, delta.runs, gone.runs)
  };
}

interface IRow {
  readonly id: string;
}

function byId<Row extends IRow>(rows: readonly Row[]): ReadonlyMap<string, Row> {
  return new Map(rows.map(row => [row.id, row]));
}

function merged<Row extends IRow>(
  table: ReadonlyMap<string, Row>,
  changed: readonly Row[],
  gone: readonly string[]
): ReadonlyMap<string, Row> {
  if (changed.length === 0 && gone.length === 0) {
    return table;
  }
  const result = new Map(table);
  for (const row of changed) {
    result.set(row.id, row);
  }
  for (const id of gone) {
    result.delete(id);
  }
  return result;
}
