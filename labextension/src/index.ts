/**
 * The plugins of the front end: wiring only.
 */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ServerConnection } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Actions } from './actions';
import { addCommands } from './commands';
import { burrowIcon } from './icon';
import { BurrowModel } from './model';
import { cellsOf, watchNotebooks } from './notebooks';
import { answerStopButtons, healOutputs } from './outputs';
import { BurrowPanel } from './panel';
import { replayOutputs } from './replay';
import { BurrowApi } from './requests';
import { IBurrowModel } from './tokens';
import { BurrowTracker } from './tracker';
import { wordsOf } from './words';

/** Place among the tabs of the right side: after the property inspector and the debugger. */
const RANK = 700;

/** The side panel. Notebook 7 has no palette on every page and no layout to restore. */
const panelPlugin: JupyterFrontEndPlugin<IBurrowModel> = {
  id: 'burrow-jupyter:plugin',
  description: 'Shows the burrow of the active notebook in a side panel.',
  autoStart: true,
  provides: IBurrowModel,
  requires: [INotebookTracker],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ): IBurrowModel => {
    const words = wordsOf((translator ?? nullTranslator).load('burrow_jupyter'));
    const settings = app.serviceManager.serverSettings;
    const api = new BurrowApi(settings, ServerConnection.makeRequest);
    const model = new BurrowModel();
    const tracker = new BurrowTracker({ model, api, timers: window, now: () => Date.now() });
    const actions = new Actions(model, tracker, api, words);

    const panel = new BurrowPanel(model, actions, cellsOf(notebooks), words);
    panel.id = 'burrow-panel';
    panel.title.icon = burrowIcon;
    panel.title.caption = words.__('Burrow');
    panel.visibility.connect((_, visible) => tracker.setVisible(visible));
    watchNotebooks(notebooks, notebook => tracker.setNotebook(notebook));

    app.shell.add(panel, 'right', { rank: RANK, type: 'Burrow' });
    restorer?.add(panel, 'burrow-panel');
    addCommands(app, { panel, model, actions, words, palette });
    answerStopButtons(document, api, words);
    healOutputs(notebooks);
    replayOutputs(notebooks, api);
    return model;
  }
};

export default [panelPlugin];
