/**
 * Rows for tests: each with everything it needs, and only what matters said.
 */

import type {
  IActorRow,
  IBurrowRow,
  IDelta,
  IFunctionRow,
  IGone,
  IRunRow,
  ISnapshot,
  ITaskRow,
  IWorkerRow
} from '../src/state';

export const SESSION = '00112233445566ff';

export function burrow(changes: Partial<IBurrowRow> = {}): IBurrowRow {
  return {
    session: SESSION,
    kernel_id: 'kernel-1',
    head_pid: 10,
    driver_pid: 11,
    started_at: 900,
    python: '3.11.9',
    version: '0.1.0',
    state: 'running',
    ...changes
  };
}

export function task(id: string, changes: Partial<ITaskRow> = {}): ITaskRow {
  return {
    id,
    name: 'f',
    state: 'running',
    worker: '2',
    actor: '',
    run: '1.1',
    parent: '',
    attempt: 1,
    submitted_at: 990,
    started_at: 991,
    ended_at: 0,
    error: '',
    ...changes
  };
}

export function actor(id: string, changes: Partial<IActorRow> = {}): IActorRow {
  return {
    id,
    class_name: 'Counter',
    name: '',
    state: 'alive',
    pid: 12,
    worker: '3',
    run: '1.1',
    method: '',
    queued: 0,
    finished: 0,
    restarts: 0,
    reason: '',
    created_at: 950,
    ...changes
  };
}

export function worker(id: string, changes: Partial<IWorkerRow> = {}): IWorkerRow {
  return {
    id,
    pid: 100 + Number(id),
    state: 'idle',
    actor: '',
    task: '',
    run: '',
    rss_bytes: 1024 * 1024,
    cpu_percent: 0,
    finished: 0,
    started_at: 950,
    gpus: [],
    ...changes
  };
}

export function functionRow(id: string, changes: Partial<IFunctionRow> = {}): IFunctionRow {
  return {
    id,
    waiting: 0,
    ready: 0,
    running: 0,
    finished: 0,
    failed: 0,
    cancelled: 0,
    ...changes
  };
}

export function run(id: string, changes: Partial<IRunRow> = {}): IRunRow {
  return {
    id,
    label: 'In[7]',
    cell: 'cell-7',
    began_at: 990,
    finished: 0,
    failed: 0,
    cancelled: 0,
    running: 1,
    queued: 0,
    ...changes
  };
}

export function snapshot(changes: Partial<ISnapshot> = {}): ISnapshot {
  return {
    type: 'snapshot',
    seq: 1,
    at: 1000,
    burrow: burrow(),
    machine: {
      cpu_percent: 20,
      cpus: 2,
      cpus_reason: 'both of the machine',
      memory_used_bytes: 1024 ** 3,
      memory_total_bytes: 8 * 1024 ** 3,
      burrow_rss_bytes: 1024 ** 2,
      gpus: [],
      paused: ''
    },
    objects: {
      count: 0,
      inline_bytes: 0,
      shared_count: 0,
      shared_bytes: 0,
      free_bytes: 0,
      disk_bytes: 0,
      capacity_bytes: 1024 ** 3
    },
    resources: [{ id: 'CPU', total: 2, used: 1 }],
    workers: [],
    functions: [],
    tasks: [],
    actors: [],
    runs: [],
    ...changes
  };
}

export function delta(seq: number, changes: Partial<IDelta> = {}): IDelta {
  return {
    type: 'delta',
    seq,
    at: 1000 + seq,
    burrow: null,
    machine: null,
    objects: null,
    resources: [],
    workers: [],
    functions: [],
    tasks: [],
    actors: [],
    runs: [],
    gone: gone(),
    ...changes
  };
}

export function gone(changes: Partial<IGone> = {}): IGone {
  return { workers: [], tasks: [], actors: [], functions: [], runs: [], ...changes };
}
