import * as assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ICodeCell } from '../src/replay';
import { Adopted } from '../src/replay';
import type { IOutputMessage } from '../src/state';

/** A cell that shows its outputs as a list of texts. */
function cell(saved: string[] = []) {
  const texts = [...saved];
  const model: ICodeCell = {
    trusted: false,
    executionCount: null,
    executionState: 'idle',
    outputs: {
      get length() {
        return texts.length;
      },
      get: index => ({
        setData: change => {
          texts[index] = String((change as { data: unknown }).data);
        }
      }),
      add: output =>
        texts.push(String((output as { text?: string; data?: string }).text ?? 'made')),
      clear: () => void texts.splice(0)
    }
  };
  return { model, texts };
}

const OUTPUTS = { cell: 'c', number: 7, request: 'r', client: 'other' };

function line(id: string): IOutputMessage {
  return { id, type: 'stream', content: { name: 'stdout', text: id } };
}

test('what was saved is replaced by what is recorded, and then followed', () => {
  const { model, texts } = cell(['1', 'of an older page']);
  const adopted = new Adopted(OUTPUTS, model, () => false);

  adopted.fill({ ...OUTPUTS, messages: [line('1'), line('2')] });
  assert.equal(model.executionState, 'running');
  adopted.take(line('2'));
  adopted.take(line('3'));
  adopted.take({ id: '4', type: 'status', content: { execution_state: 'idle' } });

  assert.deepEqual(texts, ['1', '2', '3']);
  assert.equal(model.executionCount, 7);
  assert.equal(model.executionState, 'idle');
});

test('a second look adds what is missing, also in the middle', () => {
  const { model, texts } = cell();
  const adopted = new Adopted(OUTPUTS, model, () => false);
  adopted.fill({ ...OUTPUTS, messages: [line('1')] });
  adopted.take(line('3'));

  adopted.fill({ ...OUTPUTS, messages: [line('1'), line('2'), line('3'), line('4')] });

  assert.deepEqual(texts, ['1', '2', '3', '4']);
});

test('without news since it was saved the cell stays, and what comes is added', () => {
  const { model, texts } = cell(['saved']);
  const adopted = new Adopted(OUTPUTS, model, () => false);

  adopted.fill(OUTPUTS);
  adopted.take(line('2'));

  assert.deepEqual(texts, ['saved', '2']);
  assert.equal(model.trusted, false);
});

test('displays are rewritten in place, whichever message comes later', () => {
  const { model, texts } = cell();
  const adopted = new Adopted(OUTPUTS, model, () => false);
  const transient = { display_id: 'd' };
  const made = { id: '1', type: 'display_data', content: { data: 'a', transient } };

  adopted.fill({ ...OUTPUTS, messages: [made, line('2')] });
  adopted.take({ id: '3', type: 'update_display_data', content: { data: 'b', transient } });
  const elsewhere = { data: 'c', transient: { display_id: 'e' } };
  adopted.take({ id: '4', type: 'update_display_data', content: elsewhere });

  assert.deepEqual(texts, ['b', '2']);
});

test('a cell whose kernel is gone does not look as if it ran', () => {
  const { model, texts } = cell();
  const adopted = new Adopted(OUTPUTS, model, () => false);
  adopted.fill({ ...OUTPUTS, messages: [line('1')] });

  adopted.abandon();

  assert.equal(model.executionState, 'idle');
  assert.equal(model.executionCount, null);
  assert.deepEqual(texts, ['1']);
});

test('a cell that was executed anew is left alone', () => {
  let isStale = false;
  const { model, texts } = cell();
  const adopted = new Adopted(OUTPUTS, model, () => isStale);
  adopted.fill({ ...OUTPUTS, messages: [line('1')] });

  isStale = true;
  adopted.take(line('2'));
  adopted.fill({ ...OUTPUTS, messages: [line('1'), line('2')] });

  assert.deepEqual(texts, ['1']);
});
