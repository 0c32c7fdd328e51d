/**
 * What the parts of the panel know of each other: interfaces and tokens only.
 */

import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type {
  IActorRow,
  IBurrowRow,
  IFunctionRow,
  IMachineRow,
  IObjectTotals,
  IResourceRow,
  IRunRow,
  ITaskRow,
  IWorkerRow
} from './state';

/** The model of the panel, for other extensions that want to show the same burrow. */
export const IBurrowModel = new Token<IBurrowModel>(
  'burrow-jupyter:IBurrowModel',
  'The burrow of the active notebook, as its kernel has it now.'
);

/** A burrow as of one moment. Tables keep the order in which their rows appeared. */
export interface IBurrowState {
  readonly seq: number;
  /** The server's clock; every time in the rows is of the same clock. */
  readonly at: number;
  readonly burrow: IBurrowRow;
  readonly machine: IMachineRow;
  readonly objects: IObjectTotals;
  readonly resources: ReadonlyMap<string, IResourceRow>;
  readonly workers: ReadonlyMap<string, IWorkerRow>;
  readonly functions: ReadonlyMap<string, IFunctionRow>;
  readonly tasks: ReadonlyMap<string, ITaskRow>;
  readonly actors: ReadonlyMap<string, IActorRow>;
  readonly runs: ReadonlyMap<string, IRunRow>;
}

/** One point of the curves in the header. */
export interface ISample {
  readonly at: number;
  readonly cpuPercent: number;
  readonly memoryBytes: number;
}

/** How the panel stands to the burrow of the active notebook. */
export type Phase =
  /** No notebook is open. */
  | { readonly kind: 'no-notebook' }
  /** The notebook has no kernel. */
  | { readonly kind: 'no-kernel' }
  /** The server refuses our requests. */
  | { readonly kind: 'unavailable'; readonly status: number; readonly message: string }
  /** The kernel has no burrow. */
  | { readonly kind: 'no-burrow' }
  /** There is a burrow, its state is on the way. */
  | { readonly kind: 'connecting' }
  /** What is shown is true. */
  | { readonly kind: 'live' }
  /** What is shown is old; the next attempt is made at `retryAt`, in ms of this page's clock. */
  | { readonly kind: 'lost'; readonly retryAt: number }
  /** The burrow is no more. */
  | { readonly kind: 'ended' };

/** State and signals of the panel. */
export interface IBurrowModel {
  /** Emitted whenever anything below has changed. */
  readonly changed: ISignal<IBurrowModel, void>;
  /** Name of the active notebook, "" if there is none. */
  readonly notebook: string;
  readonly phase: Phase;
  /** The last known state; there is one in the phases live, lost and ended, if any came. */
  readonly state: IBurrowState | null;
  /** The last minutes, oldest first. */
  readonly samples: readonly ISample[];
  /** Tasks and runs that were asked to stop and have not ended. */
  readonly stopping: ReadonlySet<string>;
  /** What went wrong with the last action, "" if nothing. */
  readonly notice: string;
}

/** What people can do in the panel. Every one asks back where something would be lost. */
export interface IActions {
  /** Cancel a task; its function may clean up. */
  cancelTask(task: ITaskRow): void;
  /** End the worker of a task that does not listen. */
  forceTask(task: ITaskRow): void;
  /** Cancel the unfinished tasks of a run. */
  cancelRun(run: IRunRow): void;
  /** Ask why a task has not ended; answers a sentence, and perhaps more lines. */
  why(task: ITaskRow): Promise<string>;
  /** Kill an actor. */
  killActor(actor: IActorRow): void;
  /** Stop the burrow and all that runs in it. */
  stopBurrow(): void;
  /** Connect now instead of at the next attempt. */
  reconnect(): void;
  /** Put the last error away. */
  dismissNotice(): void;
}

/** The active notebook, as far as the panel cares. */
export interface INotebook {
  readonly name: string;
  /** "" if it has no kernel. */
  readonly kernelId: string;
  readonly busy: boolean;
}

/** The cells of the active notebook, by their ids. */
export interface ICells {
  /** The first line with something in it, "" if the notebook has no such cell. */
  firstLineOf(cell: string): string;
  /** Bring a cell into view and make it the active one. */
  reveal(cell: string): void;
}

/** Looks up words in the user's language; what `@jupyterlab/translation` gives. */
export interface IWords {
  __(text: string, ...values: (string | number)[]): string;
  _n(one: string, many: string, count: number, ...values: (string | number)[]): string;
}
