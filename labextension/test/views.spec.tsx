import * as assert from 'node:assert/strict';
import { test } from 'node:test';

import * as React from 'react';
import { renderToStaticMarkup } from 'react-dom/server';

import { fromSnapshot } from '../src/model';
import type { ISnapshot } from '../src/state';
import type { IActions, ICells, Phase } from '../src/tokens';
import type { IBurrowProps } from '../src/views/burrow';
import { Burrow } from '../src/views/burrow';
import { totalOf } from '../src/views/progress';
import { orderTasks } from '../src/views/tasks';
import { Reason } from '../src/views/why';
import { actor, functionRow, run, snapshot, task, worker } from './rows';

const NO_ACTIONS: IActions = {
  cancelTask: () => undefined,
  forceTask: () => undefined,
  cancelRun: () => undefined,
  why: () => Promise.resolve(''),
  killActor: () => undefined,
  stopBurrow: () => undefined,
  reconnect: () => undefined,
  dismissNotice: () => undefined
};

const CELLS: ICells = {
  firstLineOf: cell => (cell === 'cell-7' ? 'burrow.get(refs)' : ''),
  reveal: () => undefined
};

function show(content: Partial<ISnapshot> | null, changes: Partial<IBurrowProps> = {}): string {
  return renderToStaticMarkup(
    <Burrow
      notebook="a.ipynb"
      phase={{ kind: 'live' }}
      state={content === null ? null : fromSnapshot(snapshot(content))}
      samples={[]}
      stopping={new Set()}
      notice=""
      actions={NO_ACTIONS}
      cells={CELLS}
      {...changes}
    />
  );
}

test('a pause for memory is told at the top', () => {
  const { machine } = snapshot();

  const html = show({ machine: { ...machine, paused: 'paused for memory: 9 of 10 GB' } });

  assert.match(html, /role="status"[^>]*>paused for memory: 9 of 10 GB/);
  assert.doesNotMatch(show({ machine }), /paused for memory/);
});

test('every phase without a burrow says what is the case', () => {
  const texts: [Phase, RegExp][] = [
    [{ kind: 'no-notebook' }, /No notebook is open/],
    [{ kind: 'no-kernel' }, /a\.ipynb has no kernel/],
    [{ kind: 'no-burrow' }, /%load_ext burrow/],
    [{ kind: 'connecting' }, /Looking/],
    [{ kind: 'ended' }, /has ended/],
    [{ kind: 'lost', retryAt: 0 }, /can’t be reached.*Try again/],
    [{ kind: 'unavailable', status: 404, message: '' }, /jupyter server extension enable/],
    [{ kind: 'unavailable', status: 403, message: 'Forbidden' }, /The server says: Forbidden/]
  ];
  for (const [phase, text] of texts) {
    assert.match(show(null, { phase }), text);
  }
});

test('names and errors of users are text, never markup', () => {
  const evil = '<img src=x onerror=alert(1)>';

  const html = show(
    {
      functions: [functionRow(evil, { running: 1 })],
      tasks: [task('1.1', { name: evil, state: 'failed', error: evil })],
      actors: [actor('1.2', { class_name: evil, name: evil })],
      runs: [run('1.5', { label: evil })],
      workers: [worker('2', { task: evil })],
      resources: [{ id: evil, total: 1, used: 0 }]
    },
    { notebook: evil, notice: evil }
  );

  assert.doesNotMatch(html, /<img/);
  assert.match(html, /&lt;img/);
});

test('a lost connection keeps what was known, and says that it is old', () => {
  const html = show(
    { functions: [functionRow('f', { running: 1 })] },
    { phase: { kind: 'lost', retryAt: Date.now() + 3500 } }
  );

  assert.match(html, /Connection lost\. Again in 4 s/);
  assert.match(html, /data-stale="true"/);
  assert.match(html, />f</);
});

test('a function shows each state that it has calls in', () => {
  const row = functionRow('f', { finished: 40, running: 2, ready: 3, waiting: 4, failed: 1 });

  const html = show({ functions: [row] });

  assert.equal(totalOf(row), 50);
  assert.match(html, /41 \/ 50/);
  assert.match(html, /aria-valuetext="40 finished, 1 failed, 2 running, 3 ready, 4 waiting"/);
  assert.match(html, /2 running<\/span>.*7 queued<\/span>.*1 failed<\/span>/);
  assert.doesNotMatch(html, /data-state="cancelled"/);
});

test('long lists are cut, and say how much is left', () => {
  const workers = Array.from({ length: 20 }, (_, index) => worker(String(index)));

  const html = show({ workers });

  assert.match(html, />12 more</);
  assert.match(html, /0 of 20 busy/);
});

test('a cell with unfinished tasks says how far they are and can be stopped', () => {
  const html = show({
    runs: [run('1.5', { finished: 40, failed: 2, queued: 3 }), run('1.6', { cell: 'elsewhere' })]
  });

  assert.match(html, /\[7\]<\/span> burrow\.get\(refs\)/);
  assert.match(html, /aria-label="Stop the tasks of In\[7\]"/);
  assert.match(html, /40 done<\/span>.*1 running<\/span>.*3 queued<\/span>.*2 failed<\/span>/);
  assert.match(html, /10 s/);
  assert.match(html, /2 at work/);
  assert.match(html, /disabled=""[^>]*title="In\[7\]"/, 'there is no such cell to go to');
  assert.match(show({}), /No cell has unfinished tasks/);
});

test('only what lives can be stopped', () => {
  const html = show({
    functions: [functionRow('f')],
    tasks: [task('1.1', { name: 'alive' }), task('1.2', { name: 'over', state: 'finished' })],
    actors: [actor('1.3'), actor('1.4', { class_name: 'Gone', state: 'dead', reason: 'killed' })]
  });

  assert.match(html, /aria-label="Stop alive"/);
  assert.doesNotMatch(html, /aria-label="Stop over"/);
  assert.match(html, /aria-label="Kill Counter"/);
  assert.doesNotMatch(html, /aria-label="Kill Gone"/);
});

test('a task that was asked to stop can be ended by force', () => {
  const html = show(
    { functions: [functionRow('f')], tasks: [task('1.1')] },
    { stopping: new Set(['1.1']) }
  );

  assert.match(html, /stopping…/);
  assert.match(html, /aria-label="End the worker of f"/);
});

test('why a task has not ended is a sentence, and code below it', () => {
  const one = renderToStaticMarkup(<Reason text="f waits for a free CPU." />);
  const more = renderToStaticMarkup(<Reason text={'f runs.\n  g()\n  <h>()'} />);

  assert.match(one, /<p>f waits for a free CPU\.<\/p>/);
  assert.doesNotMatch(one, /<pre>/);
  assert.match(more, /<p>f runs\.<\/p><pre>  g\(\)\n  &lt;h&gt;\(\)<\/pre>/);
});

test('running tasks come first, then what ended last, then what waits', () => {
  const tasks = [
    task('wait', { state: 'waiting', started_at: 0 }),
    task('old', { state: 'finished', ended_at: 10 }),
    task('late', { started_at: 20 }),
    task('early', { started_at: 10, state: 'blocked' }),
    task('new', { state: 'failed', ended_at: 20 })
  ];
  const ids = (filter: Parameters<typeof orderTasks>[1]) =>
    orderTasks(tasks, filter).map(({ id }) => id);

  assert.deepEqual(ids('all'), ['early', 'late', 'new', 'old', 'wait']);
  assert.deepEqual(ids('active'), ['early', 'late', 'wait']);
  assert.deepEqual(ids('failed'), ['new']);
});

test('a GPU says who has it', () => {
  const machine = { ...snapshot().machine, gpus: ['NVIDIA H100', 'NVIDIA H100'] };

  const html = show({
    machine,
    actors: [actor('3.1', { class_name: 'Trainer' })],
    workers: [worker('2', { gpus: [1], actor: '3.1' })]
  });

  assert.match(html, /GPU 0.*free.*GPU 1.*Trainer/);
});

test('a stopping burrow can’t be stopped again', () => {
  const html = show({ burrow: { ...snapshot().burrow, state: 'stopping' } });

  assert.match(html, /disabled=""[^>]*>.*Stopping…/);
});
