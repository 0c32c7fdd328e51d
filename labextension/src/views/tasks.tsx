/**
 * The tasks: progress by function, and the tasks that run or ended lately, one by one.
 */

import * as React from 'react';

import { formatDuration, formatRoughly, shortName } from '../format';
import { hasEnded } from '../model';
import type { IFunctionRow, ITaskRow } from '../state';
import type { IActions, IBurrowState, IWords } from '../tokens';
import { useWords } from '../words';
import { Functions } from './functions';
import { useHeld } from './held';
import { Capped, Elided, IconButton, Nothing, Section, StateMark } from './parts';
import { Why } from './why';

/** Which tasks are listed. */
export type TaskFilter = 'all' | 'active' | 'failed';

const FILTERS: readonly TaskFilter[] = ['all', 'active', 'failed'];

/** Functions and recent tasks. */
export function Tasks(props: {
  state: IBurrowState;
  stopping: ReadonlySet<string>;
  actions: IActions;
}): JSX.Element {
  const { __ } = useWords();
  const { state } = props;
  const functions = [...state.functions.values()];
  return (
    <Section
      title={__('Tasks')}
      summary={functions.length > 0 ? summaryOf(functions, __) : undefined}
    >
      {functions.length === 0 ? (
        <Nothing text={__('Nothing was called yet.')} />
      ) : (
        <>
          <Functions functions={functions} />
          <RecentTasks
            tasks={state.tasks}
            at={state.at}
            stopping={props.stopping}
            actions={props.actions}
          />
        </>
      )}
    </Section>
  );
}

function summaryOf(functions: readonly IFunctionRow[], __: IWords['__']): string {
  let running = 0;
  let queued = 0;
  for (const row of functions) {
    running += row.running;
    queued += row.ready + row.waiting;
  }
  return __('%1 running · %2 queued', formatRoughly(running), formatRoughly(queued));
}

function RecentTasks(props: {
  tasks: ReadonlyMap<string, ITaskRow>;
  at: number;
  stopping: ReadonlySet<string>;
  actions: IActions;
}): JSX.Element {
  const { __ } = useWords();
  const { tasks, at, stopping, actions } = props;
  const [filter, setFilter] = React.useState<TaskFilter>('all');
  const [opened, setOpened] = React.useState('');
  const ordered = orderTasks([...tasks.values()], filter);
  // Rows must not move from under the pointer: a click would stop the wrong task. While
  // it is over the list, the rows of that moment stay where they are.
  const held = useHeld(() => ordered.map(task => task.id));
  const rows = held.value === null ? ordered : held.value.flatMap(id => tasks.get(id) ?? []);
  const labels: Record<TaskFilter, string> = {
    all: __('Recent'),
    active: __('Active'),
    failed: __('Failed')
  };
  const choose = (choice: TaskFilter) => {
    held.release();
    setFilter(choice);
  };
  return (
    <div className="jp-Burrow-recent">
      <div className="jp-Burrow-filters" role="group" aria-label={__('Which tasks are listed')}>
        {FILTERS.map(choice => (
          <button
            key={choice}
            type="button"
            aria-pressed={choice === filter}
            onClick={() => choose(choice)}
          >
            {labels[choice]}
          </button>
        ))}
        <span className="jp-Burrow-held">{held.value === null ? '' : __('order held')}</span>
      </div>
      <div {...held.props}>
        {rows.length === 0 ? (
          <Nothing
            text={filter === 'failed' ? __('No task failed.') : __('No task runs or waits.')}
          />
        ) : (
          <Capped
            rows={rows}
            label={labels[filter]}
            render={task => (
              <Task
                key={task.id}
                task={task}
                seconds={secondsOf(task, at)}
                isStopping={stopping.has(task.id)}
                isOpen={opened === task.id}
                onToggle={() => setOpened(opened === task.id ? '' : task.id)}
                actions={actions}
              />
            )}
          />
        )}
      </div>
    </div>
  );
}

const Task = React.memo(function Task(props: {
  task: ITaskRow;
  seconds: number | null;
  isStopping: boolean;
  isOpen: boolean;
  onToggle: () => void;
  actions: IActions;
}): JSX.Element {
  const { __ } = useWords();
  const { task, seconds, isStopping, isOpen, actions } = props;
  const isOver = hasEnded(task);
  const title = [
    task.name,
    __('task %1, %2', task.id, __(task.state)),
    task.attempt > 1 ? __('attempt %1', task.attempt) : '',
    task.parent === '' ? '' : __('started by task %1', task.parent),
    task.error,
    isOver ? '' : __('Click to see why it has not ended')
  ];
  return (
    <li className="jp-Burrow-task" data-error={task.error === '' ? undefined : 'true'}>
      <StateMark state={task.state} />
      <button
        type="button"
        className="jp-Burrow-taskName jp-Burrow-elided"
        aria-expanded={isOpen && !isOver}
        disabled={isOver}
        title={title.filter(line => line !== '').join('\n')}
        onClick={props.onToggle}
      >
        {shortName(task.name)}
      </button>
      {task.error === '' ? (
        <span className="jp-Burrow-note">{noteOf(task, isStopping, __)}</span>
      ) : (
        <Elided
          text={task.error}
          className={task.state === 'failed' ? 'jp-Burrow-note jp-Burrow-error' : 'jp-Burrow-note'}
        />
      )}
      <span className="jp-Burrow-number">{seconds === null ? '' : formatDuration(seconds)}</span>
      {isOver ? (
        <span className="jp-Burrow-noButton" />
      ) : isStopping ? (
        <IconButton
          icon="flash"
          danger
          label={__('End the worker of %1', task.name)}
          onClick={() => actions.forceTask(task)}
        />
      ) : (
        <IconButton
          icon="stop"
          label={__('Stop %1', task.name)}
          onClick={() => actions.cancelTask(task)}
        />
      )}
      {isOpen && !isOver && <Why task={task} actions={actions} />}
    </li>
  );
});

/** What neither the mark nor the name say. */
function noteOf(task: ITaskRow, isStopping: boolean, __: IWords['__']): string {
  if (isStopping) {
    return __('stopping…');
  }
  return task.attempt > 1 ? __('try %1', task.attempt) : '';
}

/** How long a task runs or ran; of one that has not begun there is nothing to say. */
function secondsOf(task: ITaskRow, at: number): number | null {
  if (task.started_at === 0) {
    return null;
  }
  return Math.max(0, (task.ended_at || at) - task.started_at);
}

/**
 * What runs comes first, the longest on top, so that long tasks keep their place; then what
 * ended, the newest on top; then what waits, in the order of submission.
 */
export function orderTasks(tasks: readonly ITaskRow[], filter: TaskFilter): readonly ITaskRow[] {
  const running: ITaskRow[] = [];
  const ended: ITaskRow[] = [];
  const queued: ITaskRow[] = [];
  for (const task of tasks) {
    if (hasEnded(task)) {
      if (filter === 'all' || (filter === 'failed' && task.state === 'failed')) {
        ended.push(task);
      }
    } else if (filter !== 'failed') {
      (task.state === 'running' || task.state === 'blocked' ? running : queued).push(task);
    }
  }
  running.sort((a, b) => a.started_at - b.started_at);
  ended.sort((a, b) => b.ended_at - a.ended_at);
  queued.sort((a, b) => a.submitted_at - b.submitted_at);
  return [...running, ...ended, ...queued];
}
