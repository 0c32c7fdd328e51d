/**
 * The active notebook and its kernel, from JupyterLab's notebook tracker.
 */

import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { ICells, INotebook } from './tokens';

/** Call back with the active notebook, now and whenever it or its kernel changes. */
export function watchNotebooks(
  tracker: INotebookTracker,
  onChange: (notebook: INotebook | null) => void
): void {
  let watched: NotebookPanel | null = null;

  const report = () => onChange(describe(tracker.currentWidget));

  const watch = (panel: NotebookPanel | null) => {
    for (const [one, act] of [
      [watched, 'disconnect'],
      [panel, 'connect']
    ] as const) {
      if (one !== null && !one.isDisposed) {
        one.sessionContext.kernelChanged[act](report);
        one.sessionContext.statusChanged[act](report);
        one.context.pathChanged[act](report);
      }
    }
    watched = panel;
    report();
  };

  tracker.currentChanged.connect((_, panel) => watch(panel));
  watch(tracker.currentWidget);
}

/** The cells of the notebook that is active when they are asked for. */
export function cellsOf(tracker: INotebookTracker): ICells {
  const indexOf = (id: string) =>
    tracker.currentWidget?.content.widgets.findIndex(cell => cell.model.id === id) ?? -1;
  return {
    firstLineOf(id) {
      const source = tracker.currentWidget?.content.widgets[indexOf(id)]?.model.sharedModel.source;
      return (
        source
          ?.split('\n')
          .find(line => line.trim() !== '')
          ?.trim() ?? ''
      );
    },
    reveal(id) {
      const notebook = tracker.currentWidget?.content;
      const index = indexOf(id);
      if (notebook !== undefined && index >= 0) {
        notebook.activeCellIndex = index;
        void notebook.scrollToItem(index);
      }
    }
  };
}

function describe(panel: NotebookPanel | null): INotebook | null {
  if (panel === null || panel.isDisposed) {
    return null;
  }
  const kernel = panel.sessionContext.session?.kernel ?? null;
  return {
    name: panel.context.path.split('/').pop() ?? '',
    kernelId: kernel?.id ?? '',
    busy: kernel?.status === 'busy'
  };
}
