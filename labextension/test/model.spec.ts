import * as assert from 'node:assert/strict';
import { test } from 'node:test';

import { BurrowModel, SAMPLES_MAX, applyDelta, fromSnapshot } from '../src/model';
import { burrow, delta, functionRow, gone, run, snapshot, task, worker } from './rows';

test('rows that change replace theirs, and new ones come last', () => {
  const state = fromSnapshot(snapshot({ functions: [functionRow('f'), functionRow('g')] }));

  const after = applyDelta(
    state,
    delta(2, { functions: [functionRow('h'), functionRow('f', { running: 3 })] })
  );

  assert.deepEqual([...after.functions.keys()], ['f', 'g', 'h']);
  assert.equal(after.functions.get('f')?.running, 3);
  assert.equal(state.functions.get('f')?.running, 0, 'the state before is untouched');
});

test('rows that are gone disappear, and tables without a change stay the same', () => {
  const state = fromSnapshot(
    snapshot({ tasks: [task('1.1'), task('1.2')], workers: [worker('2')] })
  );

  const after = applyDelta(state, delta(2, { gone: gone({ tasks: ['1.1', '9.9'] }) }));

  assert.deepEqual([...after.tasks.keys()], ['1.2']);
  assert.equal(after.workers, state.workers);
  assert.equal(after.machine, state.machine);
});

test('an update makes the model live and says so once', () => {
  const model = new BurrowModel();
  let changes = 0;
  model.changed.connect(() => (changes += 1));

  model.apply(snapshot());

  assert.equal(model.phase.kind, 'live');
  assert.equal(changes, 1);
});

test('a delta without a snapshot is of no use and does no harm', () => {
  const model = new BurrowModel();

  model.apply(delta(2));

  assert.equal(model.state, null);
});

test('the last state stays while the connection is lost', () => {
  const model = new BurrowModel();
  model.apply(snapshot());

  model.setPhase({ kind: 'lost', retryAt: 5 });

  assert.equal(model.state?.seq, 1);
});

test('another burrow or notebook begins from nothing', () => {
  const model = new BurrowModel();
  model.apply(snapshot());
  model.apply(snapshot({ seq: 2 }));
  assert.equal(model.samples.length, 2);

  model.apply(snapshot({ burrow: burrow({ session: 'f'.repeat(16) }) }));
  assert.equal(model.samples.length, 1);

  model.setNotebook('b.ipynb', { kind: 'connecting' });
  assert.equal(model.state, null);
  assert.deepEqual(model.samples, []);
});

test('the curves have an end', () => {
  const model = new BurrowModel();
  const { machine } = snapshot();
  model.apply(snapshot());

  for (let seq = 2; seq < SAMPLES_MAX + 50; seq += 1) {
    model.apply(delta(seq, { machine: { ...machine, cpu_percent: seq } }));
    model.apply(delta(seq));
  }

  assert.equal(model.samples.length, SAMPLES_MAX);
  assert.equal(model.samples.at(-1)?.cpuPercent, SAMPLES_MAX + 49);
});

test('a task that was asked to stop is remembered until it ends', () => {
  const model = new BurrowModel();
  model.apply(snapshot({ tasks: [task('1.1'), task('1.2')] }));
  model.markStopping('1.1');
  model.markStopping('1.2');

  model.apply(delta(2, { tasks: [task('1.1', { state: 'cancelled' })] }));

  assert.deepEqual([...model.stopping], ['1.2']);
});

test('a run is stopping until it has no unfinished tasks', () => {
  const model = new BurrowModel();
  model.apply(snapshot({ runs: [run('1.5'), run('1.6')] }));
  model.markStopping('1.5');

  model.apply(delta(2, { runs: [run('1.5', { cancelled: 1 })], gone: gone({ runs: ['1.6'] }) }));
  assert.deepEqual([...model.stopping], ['1.5']);
  assert.deepEqual([...(model.state?.runs.keys() ?? [])], ['1.5']);

  model.apply(delta(3, { gone: gone({ runs: ['1.5'] }) }));
  assert.deepEqual([...model.stopping], []);
});

test('a phase that is set again is no change', () => {
  const model = new BurrowModel();
  let changes = 0;
  model.changed.connect(() => (changes += 1));

  model.setPhase({ kind: 'no-burrow' });
  model.setPhase({ kind: 'no-burrow' });

  assert.equal(changes, 1);
});
