/**
 * The side panel: a widget that shows the model and says when it can be seen. No network.
 */

import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import * as React from 'react';

import type { IActions, IBurrowModel, ICells, IWords } from './tokens';
import { Burrow } from './views/burrow';
import { WordsContext } from './words';

/** The side panel. */
export class BurrowPanel extends ReactWidget {
  /**
   * @param model - What is shown.
   * @param actions - What the buttons do.
   * @param cells - Of the notebook whose burrow is shown.
   * @param words - In the user's language.
   */
  constructor(model: IBurrowModel, actions: IActions, cells: ICells, words: IWords) {
    super();
    this._model = model;
    this._actions = actions;
    this._cells = cells;
    this._words = words;
    this.addClass('jp-Burrow');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', words.__('Burrow'));
  }

  /** Emitted when the panel appears (true) or disappears (false). */
  get visibility(): ISignal<this, boolean> {
    return this._visibility;
  }

  protected override render(): JSX.Element {
    return (
      <WordsContext.Provider value={this._words}>
        <UseSignal signal={this._model.changed}>
          {() => {
            const { notebook, phase, state, samples, stopping, notice } = this._model;
            return (
              <Burrow
                {...{ notebook, phase, state, samples, stopping, notice }}
                actions={this._actions}
                cells={this._cells}
              />
            );
          }}
        </UseSignal>
      </WordsContext.Provider>
    );
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._visibility.emit(this.isVisible);
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._visibility.emit(true);
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._visibility.emit(false);
  }

  protected override onBeforeDetach(message: Message): void {
    this._visibility.emit(false);
    super.onBeforeDetach(message);
  }

  private readonly _model: IBurrowModel;
  private readonly _actions: IActions;
  private readonly _cells: ICells;
  private readonly _words: IWords;
  private readonly _visibility = new Signal<this, boolean>(this);
}
