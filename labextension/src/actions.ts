/**
 * What the panel's buttons do: ask back where something would be lost, then ask the server.
 * What goes wrong is told in the panel.
 */

import { Dialog, showDialog } from '@jupyterlab/apputils';

import { formatCount } from './format';
import type { BurrowModel } from './model';
import type { BurrowApi } from './requests';
import type { IActorRow, IRunRow, ITaskRow } from './state';
import type { IActions, IWords } from './tokens';
import type { BurrowTracker } from './tracker';

/** The actions on the burrow that a tracker follows. */
export class Actions implements IActions {
  /**
   * @param model - Told what goes wrong.
   * @param tracker - Knows which burrow is meant.
   * @param api - Carries it out.
   * @param words - In the user's language.
   */
  constructor(model: BurrowModel, tracker: BurrowTracker, api: BurrowApi, words: IWords) {
    this._model = model;
    this._tracker = tracker;
    this._api = api;
    this._words = words;
  }

  cancelTask(task: ITaskRow): void {
    void this._do(async session => {
      this._model.markStopping(task.id);
      await this._api.cancelTask(session, task.id);
    });
  }

  forceTask(task: ITaskRow): void {
    const { __ } = this._words;
    void this._confirmed(
      __('End the worker of %1?', task.name),
      __('It was asked to stop and has not. Ending its worker can’t be caught by its code.'),
      __('End worker'),
      session => this._api.cancelTask(session, task.id, true)
    );
  }

  cancelRun(run: IRunRow): void {
    void this._do(async session => {
      this._model.markStopping(run.id);
      await this._api.cancelRun(session, run.id);
    });
  }

  why(task: ITaskRow): Promise<string> {
    return this._api.why(this._tracker.session, task.id);
  }

  killActor(actor: IActorRow): void {
    const { __, _n } = this._words;
    const waiting =
      actor.queued > 0
        ? ' ' + _n('%1 waiting call fails.', '%1 waiting calls fail.', actor.queued)
        : '';
    void this._confirmed(
      __('Kill the actor %1?', actor.name === '' ? actor.class_name : actor.name),
      __('Its state is lost and it is not restarted.') + waiting,
      __('Kill'),
      session => this._api.killActor(session, actor.id)
    );
  }

  stopBurrow(): void {
    const { __ } = this._words;
    void this._confirmed(
      __('Stop the burrow of %1?', this._model.notebook),
      this._losses(),
      __('Stop'),
      session => this._api.stopBurrow(session)
    );
  }

  reconnect(): void {
    this._tracker.reconnect();
  }

  dismissNotice(): void {
    this._model.setNotice('');
  }

  /** What stopping the burrow would end. */
  private _losses(): string {
    const { __, _n } = this._words;
    const state = this._model.state;
    // Of many tasks only some have rows, but every function counts all of its.
    const tasks = [...(state?.functions.values() ?? [])].reduce(
      (sum, { waiting, ready, running }) => sum + waiting + ready + running,
      0
    );
    const actors = [...(state?.actors.values() ?? [])].filter(one => one.state !== 'dead').length;
    return [
      tasks > 0
        ? _n(
            '%2 unfinished task is cancelled.',
            '%2 unfinished tasks are cancelled.',
            tasks,
            formatCount(tasks)
          )
        : '',
      actors > 0 ? _n('%1 actor ends.', '%1 actors end.', actors) : '',
      __('Results that were not fetched are lost. The notebook’s own variables stay.')
    ]
      .filter(text => text !== '')
      .join(' ');
  }

  private async _confirmed(
    title: string,
    body: string,
    label: string,
    act: (session: string) => Promise<void>
  ): Promise<void> {
    const session = this._tracker.session;
    const answer = await showDialog({
      title,
      body,
      buttons: [
        Dialog.cancelButton({ label: this._words.__('Cancel') }),
        Dialog.warnButton({ label })
      ],
      // A stray Enter must not destroy anything.
      defaultButton: 0
    });
    // What was asked about is what is acted upon, whichever notebook is in front by now.
    if (answer.button.accept) {
      await this._do(act, session);
    }
  }

  private async _do(
    act: (session: string) => Promise<void>,
    session = this._tracker.session
  ): Promise<void> {
    this._model.setNotice('');
    try {
      await act(session);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this._model.setNotice(this._words.__('That did not work: %1', reason));
    }
  }

  private readonly _model: BurrowModel;
  private readonly _tracker: BurrowTracker;
  private readonly _api: BurrowApi;
  private readonly _words: IWords;
}
