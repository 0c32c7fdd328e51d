/**
 * The commands, and when they can be used.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

import { burrowIcon } from './icon';
import type { IActions, IBurrowModel, IWords } from './tokens';

/** Ids of the commands. */
export const CommandIds = {
  open: 'burrow:open',
  stop: 'burrow:stop'
} as const;

/** Add the commands, and show them in the palette if there is one. */
export function addCommands(
  app: JupyterFrontEnd,
  parts: {
    readonly panel: Widget;
    readonly model: IBurrowModel;
    readonly actions: IActions;
    readonly words: IWords;
    readonly palette: ICommandPalette | null;
  }
): void {
  const { panel, model, actions, words, palette } = parts;
  const { __ } = words;
  app.commands.addCommand(CommandIds.open, {
    label: __('Show Burrow'),
    caption: __('Show the tasks, actors and workers of this notebook'),
    icon: burrowIcon,
    execute: () => app.shell.activateById(panel.id)
  });
  app.commands.addCommand(CommandIds.stop, {
    label: __('Stop the Burrow of This Notebook…'),
    isEnabled: () => model.phase.kind === 'live',
    execute: () => actions.stopBurrow()
  });
  // Menus are drawn anew on each notice, and the model changes ten times a second.
  let phase = model.phase.kind;
  model.changed.connect(() => {
    if (model.phase.kind !== phase) {
      phase = model.phase.kind;
      app.commands.notifyCommandChanged(CommandIds.stop);
    }
  });
  for (const command of Object.values(CommandIds)) {
    palette?.addItem({ command, category: __('Burrow') });
  }
}
