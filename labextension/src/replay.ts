/**
 * Puts back the outputs of cells that came while no page showed them.
 *
 * A page that was loaded anew shows the notebook as it was saved, and JupyterLab drops what a
 * kernel publishes for requests of another page. The kernel records the outputs of cells that
 * launch tasks; here they are filled in, and from then on followed.
 */

import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { KernelMessage } from '@jupyterlab/services';

import type { BurrowApi } from './requests';
import type { ICellOutputs, IOutputMessage } from './state';

/** What is recorded so shortly before the notebook was saved may have come after it. */
const SAVED_SLACK_S = 2;

/** Status of a kernel that will not end what it runs. */
const ENDS: ReadonlySet<string> = new Set(['restarting', 'autorestarting', 'terminating', 'dead']);

/** Do this for every notebook. */
export function replayOutputs(tracker: INotebookTracker, api: BurrowApi): void {
  const watch = (panel: NotebookPanel) => void new Replay(panel, api);
  tracker.forEach(watch);
  tracker.widgetAdded.connect((_, panel) => watch(panel));
}

/** The outputs of one notebook's cells that other pages have executed. */
class Replay {
  constructor(panel: NotebookPanel, api: BurrowApi) {
    this._panel = panel;
    this._api = api;
    const { sessionContext } = panel;
    sessionContext.iopubMessage.connect((_, message) => this._onMessage(message));
    sessionContext.kernelChanged.connect((_, change) => {
      if (change.oldValue !== null && change.newValue?.id !== change.oldValue.id) {
        this._abandon();
      }
      this._hasHeard = false;
      this._synchronize();
    });
    sessionContext.statusChanged.connect((_, status) => {
      if (ENDS.has(status)) {
        this._abandon();
      }
    });
    this._synchronize();
  }

  /** The kernel that was asked is no more. */
  private _abandon(): void {
    this._runs.forEach(run => run.abandon());
    this._runs.clear();
  }

  private _onMessage(message: KernelMessage.IMessage): void {
    // What was published before this page was listening is in the record by now.
    if (!this._hasHeard) {
      this._hasHeard = true;
      this._synchronize();
    }
    if (this._pending > 0) {
      this._waiting.push(message);
    } else {
      this._takeLive(message);
    }
  }

  private _takeLive({ header, parent_header: parent, content }: KernelMessage.IMessage): void {
    const message = { id: header.msg_id, type: header.msg_type, content };
    const request = 'msg_id' in parent ? parent.msg_id : '';
    for (const run of this._runs.values()) {
      // An update is found by its display, whatever cell it comes with.
      if (run.request === request || message.type === 'update_display_data') {
        run.take(message);
      }
    }
  }

  /** Ask what there is, one question at a time; what comes meanwhile is looked at afterwards. */
  private _synchronize(): void {
    this._pending += 1;
    this._last = this._last
      .then(() => this._fill())
      .catch(() => undefined) // No server extension, or no burrow any more: as JupyterLab has it.
      .then(() => {
        this._pending -= 1;
        if (this._pending === 0) {
          this._waiting.splice(0).forEach(message => this._takeLive(message));
        }
      });
  }

  private async _fill(): Promise<void> {
    const { context, sessionContext } = this._panel;
    await context.ready;
    // Not for the session to be ready: that waits for a busy kernel.
    const kernel = sessionContext.session?.kernel;
    // Where several people edit at once, outputs are kept by those who make that possible.
    if (!kernel || this._panel.isDisposed || context.model.collaborative) {
      return;
    }
    const burrow = (await this._api.list()).filter(({ kernel_id: id }) => id === kernel.id).pop();
    if (burrow === undefined) {
      return;
    }
    const savedAt = Date.parse(context.contentsModel?.last_modified ?? '') / 1000;
    const since = Number.isFinite(savedAt) ? savedAt - SAVED_SLACK_S : 0;
    for (const outputs of await this._api.outputs(burrow.session, since)) {
      const cell = this._cellOf(outputs.cell);
      // JupyterLab itself follows what this page has asked for.
      if (outputs.client !== kernel.clientId && cell !== null) {
        this._adopt(outputs, cell);
      }
    }
  }

  private _adopt(outputs: ICellOutputs, cell: ICodeCell): void {
    const run = this._runs.get(outputs.cell);
    if (run?.request === outputs.request) {
      run.fill(outputs);
      return;
    }
    const isStale = () => this._futureOf(outputs.cell) !== undefined;
    if (!isStale()) {
      const adopted = new Adopted(outputs, cell, isStale);
      this._runs.set(outputs.cell, adopted);
      adopted.fill(outputs);
    }
  }

  private _cellOf(id: string): ICodeCell | null {
    for (const cell of this._panel.content.model?.cells ?? []) {
      if (cell.id === id && cell.type === 'code') {
        return cell as unknown as ICodeCell;
      }
    }
    return null;
  }

  /** What this page has asked of a cell last, if anything. */
  private _futureOf(id: string): unknown {
    const cell = this._panel.content.widgets.find(({ model }) => model.id === id);
    return (cell as { outputArea?: { future?: unknown } } | undefined)?.outputArea?.future;
  }

  private readonly _panel: NotebookPanel;
  private readonly _api: BurrowApi;
  private readonly _runs = new Map<string, Adopted>();
  private readonly _waiting: KernelMessage.IMessage[] = [];
  private _last = Promise.resolve();
  private _pending = 0;
  private _hasHeard = false;
}

/** The outputs of a cell whose request is unknown to JupyterLab. */
export class Adopted {
  /**
   * @param outputs - Which execution it is.
   * @param cell - Where its outputs go.
   * @param isStale - Whether the cell was executed anew since.
   */
  constructor(outputs: ICellOutputs, cell: ICodeCell, isStale: () => boolean) {
    this.request = outputs.request;
    this._number = outputs.number;
    this._cell = cell;
    this._isStale = isStale;
  }

  readonly request: string;

  /** Bring the cell to what is recorded; nothing happens where it was saved like that. */
  fill({ messages }: ICellOutputs): void {
    if (!messages || this._isStale()) {
      return;
    }
    const isPrefix = this._taken.every((id, index) => messages[index]?.id === id);
    if (!isPrefix || this._taken.length === 0) {
      this._taken = [];
      this._displays.clear();
      // As where a cell is executed: the outputs are the kernel's, not the file's.
      this._cell.trusted = true;
      this._cell.outputs.clear();
      this._cell.executionState = 'running';
    }
    messages.slice(this._taken.length).forEach(message => this.take(message));
  }

  /** Take one message, unless that was done. */
  take({ id, type, content }: IOutputMessage): void {
    const { outputs } = this._cell;
    const { execution_state: state, transient, wait, ...rest } = content as IContent;
    const display = transient?.display_id ?? '';
    if (type === 'update_display_data' && !this._displays.has(display)) {
      return; // of another cell
    }
    if (this._isStale() || this._taken.includes(id)) {
      return;
    }
    switch (type) {
      case 'stream':
      case 'display_data':
      case 'execute_result':
      case 'error':
        outputs.add({ ...rest, output_type: type });
        if (display !== '') {
          const made = outputs.get(outputs.length - 1);
          this._displays.set(display, [...(this._displays.get(display) ?? []), made]);
        }
        break;
      case 'update_display_data':
        this._displays.get(display)?.forEach(output => output.setData(rest));
        break;
      case 'clear_output':
        outputs.clear(wait);
        break;
      case 'status':
        if (state !== 'idle') {
          return;
        }
        this._cell.executionCount = this._number;
        this._cell.executionState = 'idle';
        break;
      default:
        return;
    }
    this._taken.push(id);
  }

  /** Nothing more will come: it must not look as if it ran for ever. */
  abandon(): void {
    if (!this._isStale()) {
      this._cell.executionState = 'idle';
    }
  }

  private readonly _number: number;
  private readonly _cell: ICodeCell;
  private readonly _isStale: () => boolean;
  /** Ids of the messages that were taken, in order. */
  private _taken: string[] = [];
  private readonly _displays = new Map<string, IOutput[]>();
}

/** The content of the messages that are looked at. */
interface IContent {
  readonly execution_state?: string;
  readonly transient?: { readonly display_id?: string };
  readonly wait?: boolean;
  readonly [key: string]: unknown;
}

interface IOutput {
  setData(change: object): void;
}

/** As much of a code cell's model as is used here; the full type lies in a package of its own. */
export interface ICodeCell {
  trusted: boolean;
  executionCount: number | null;
  executionState: string;
  readonly outputs: {
    readonly length: number;
    get(index: number): IOutput;
    add(output: { readonly output_type: string }): number;
    clear(wait?: boolean): void;
  };
}
