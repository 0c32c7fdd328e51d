/**
 * What the kernel shows under cells: its Stop button works also while the kernel is busy, and
 * an output that is rewritten is found again after the page was loaded anew.
 */

import { showErrorMessage } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { KernelMessage } from '@jupyterlab/services';

import type { BurrowApi } from './requests';
import type { IWords } from './tokens';

/**
 * Stop the tasks of a cell when the button of its line is pressed.
 *
 * The line is drawn anew several times a second. A browser makes no click of a press on a button
 * and a release on the one that has taken its place, so the two are looked at themselves.
 */
export function answerStopButtons(page: Document, api: BurrowApi, words: IWords): void {
  let pressed: string | undefined;
  page.addEventListener('pointerdown', event => {
    pressed = event.button === 0 ? runOf(stopButtonAt(event)) : undefined;
  });
  page.addEventListener('pointerup', event => {
    const button = stopButtonAt(event);
    if (button && pressed !== undefined && runOf(button) === pressed) {
      stop(button);
    }
    pressed = undefined;
  });
  page.addEventListener('click', event => {
    const button = stopButtonAt(event);
    if (button && event.detail === 0) {
      stop(button); // with the keyboard
    }
  });

  function stop(button: HTMLButtonElement): void {
    const { burrowSession: session, burrowRun: run } = button.dataset;
    if (!session || !run || button.disabled) {
      return;
    }
    button.disabled = true;
    api.cancelRun(session, run).catch((error: unknown) => {
      button.disabled = false;
      const reason = error instanceof Error ? error.message : String(error);
      void showErrorMessage(words.__('The tasks were not stopped'), reason);
    });
  }
}

function stopButtonAt(event: Event): HTMLButtonElement | null {
  const target = event.target instanceof Element ? event.target : null;
  return target?.closest<HTMLButtonElement>('button.burrow-stop') ?? null;
}

function runOf(button: HTMLButtonElement | null): string | undefined {
  return button ? `${button.dataset.burrowSession}/${button.dataset.burrowRun}` : undefined;
}

/**
 * Apply updates of outputs whose cell was executed before the page was loaded.
 *
 * JupyterLab knows an output that is to be updated by the request that made it, and forgets
 * requests with the page. Burrow's outputs carry their name in their metadata, which is saved.
 */
export function healOutputs(tracker: INotebookTracker): void {
  const watch = (panel: NotebookPanel) => {
    panel.sessionContext.iopubMessage.connect((_, message) => {
      if (KernelMessage.isUpdateDisplayDataMsg(message)) {
        update(panel, message.content);
      }
    });
  };
  tracker.forEach(watch);
  tracker.widgetAdded.connect((_, panel) => watch(panel));
}

type Update = KernelMessage.IUpdateDisplayDataMsg['content'];

function nameOf(metadata: object): unknown {
  return (metadata as { burrow?: { id?: unknown } }).burrow?.id;
}

function update(panel: NotebookPanel, content: Update): void {
  const name = nameOf(content.metadata);
  if (name === undefined || panel.isDisposed) {
    return;
  }
  for (const cell of panel.content.model?.cells ?? []) {
    const outputs = (cell as { outputs?: IOutputs }).outputs;
    for (let index = 0; index < (outputs?.length ?? 0); index++) {
      const output = outputs!.get(index);
      const is = nameOf(output.metadata) === name;
      // Where JupyterLab has done it, nothing is left to do.
      if (is && output.data['text/html'] !== content.data['text/html']) {
        output.setData({ data: content.data, metadata: content.metadata });
      }
    }
  }
}

/** As much of a cell's outputs as is used here; the full type lies in a package of its own. */
interface IOutputs {
  readonly length: number;
  get(index: number): {
    readonly data: Record<string, unknown>;
    readonly metadata: object;
    setData(change: { data: Update['data']; metadata: Update['metadata'] }): void;
  };
}
