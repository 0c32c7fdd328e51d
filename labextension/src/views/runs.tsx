/**
 * The cells that have unfinished tasks: how far those are, and a button that stops them. It
 * asks the server, so it works while the kernel is busy.
 */

import * as React from 'react';

import { formatDuration } from '../format';
import type { IRunRow } from '../state';
import type { IActions, IBurrowState, ICells } from '../tokens';
import { useWords } from '../words';
import { useHeld } from './held';
import { Capped, IconButton, Nothing, Section } from './parts';
import { Progress } from './progress';

/** The runs under way, the oldest first. */
export function Runs(props: {
  state: IBurrowState;
  stopping: ReadonlySet<string>;
  cells: ICells;
  actions: IActions;
}): JSX.Element {
  const { __, _n } = useWords();
  const { runs, at } = props.state;
  // Rows must not move from under the pointer: a click would stop the wrong cell. While it is
  // over the list, what ends keeps its place, and what begins is put below.
  const held = useHeld(() => [...runs.values()]);
  const kept = new Map((held.value ?? []).map(run => [run.id, run]));
  const rows = [...new Map([...kept, ...runs]).values()];
  return (
    <Section
      title={__('Cells')}
      className="jp-Burrow-runs"
      summary={runs.size > 0 ? _n('%1 at work', '%1 at work', runs.size) : undefined}
    >
      <div {...held.props}>
        {rows.length === 0 ? (
          <Nothing text={__('No cell has unfinished tasks.')} />
        ) : (
          <Capped
            rows={rows}
            label={__('Cells with unfinished tasks')}
            render={run => (
              <Run
                key={run.id}
                run={run}
                line={props.cells.firstLineOf(run.cell)}
                seconds={runs.has(run.id) ? Math.max(0, at - run.began_at) : null}
                isStopping={props.stopping.has(run.id)}
                cells={props.cells}
                actions={props.actions}
              />
            )}
          />
        )}
      </div>
    </Section>
  );
}

const Run = React.memo(function Run(props: {
  run: IRunRow;
  line: string;
  /** `null` if it has ended. */
  seconds: number | null;
  isStopping: boolean;
  cells: ICells;
  actions: IActions;
}): JSX.Element {
  const { __ } = useWords();
  const { run, line, seconds, cells, actions } = props;
  const prompt = run.label.replace(/^In/, '');
  const counts = {
    finished: run.finished,
    failed: run.failed,
    cancelled: run.cancelled,
    running: run.running,
    ready: run.queued,
    waiting: 0
  };
  return (
    <li className="jp-Burrow-run" data-ended={seconds === null ? 'true' : undefined}>
      <button
        type="button"
        className="jp-Burrow-cell"
        disabled={line === ''}
        title={line === '' ? run.label : `${line}\n${__('Go to this cell')}`}
        onClick={() => cells.reveal(run.cell)}
      >
        <span className="jp-Burrow-prompt">{prompt}</span> {line}
      </button>
      <span className="jp-Burrow-number">
        {seconds === null ? __('ended') : formatDuration(seconds)}
      </span>
      {seconds === null ? (
        <span className="jp-Burrow-noButton" />
      ) : (
        <IconButton
          icon="stop"
          label={__('Stop the tasks of %1', run.label)}
          onClick={() => actions.cancelRun(run)}
        />
      )}
      <Progress label={run.label} counts={counts} tellsFinished>
        {props.isStopping && <span>{__('stopping…')}</span>}
      </Progress>
    </li>
  );
});
