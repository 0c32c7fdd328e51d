import * as assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatQuantity,
  formatRoughly,
  gpuName,
  ratio,
  shortName
} from '../src/format';

function table<Value>(format: (value: Value) => string, rows: [Value, string][]): void {
  for (const [value, text] of rows) {
    assert.equal(format(value), text);
  }
}

test('bytes have three digits at most', () => {
  table(formatBytes, [
    [0, '0 B'],
    [-1, '0 B'],
    [999, '999 B'],
    [1000, '1.0 KB'],
    [1024 * 1023, '1.0 MB'],
    [9.9 * 1024 ** 2, '9.9 MB'],
    [9.96 * 1024 ** 2, '10 MB'],
    [142 * 1024 ** 2, '142 MB'],
    [1.5 * 1024 ** 4, '1.5 TB']
  ]);
});

test('durations say what matters at their size', () => {
  table<number>(formatDuration, [
    [-3, '0.0 s'],
    [0.42, '0.4 s'],
    [9.94, '9.9 s'],
    [9.96, '10 s'],
    [59.4, '59 s'],
    [59.6, '1:00'],
    [185, '3:05'],
    [3599.7, '1:00:00'],
    [3725, '1:02:05'],
    [86400 * 2 + 3600 * 3 + 5, '2 d 3 h']
  ]);
});

test('what counts up by itself does so in whole seconds', () => {
  assert.equal(formatDuration(5.97, true), '5 s');
  assert.equal(formatDuration(59.9, true), '59 s');
});

test('counts are exact as long as they are short', () => {
  table(formatCount, [
    [0, '0'],
    [999, '999'],
    [1234, '1,234'],
    [99999, '99,999'],
    [123456, '123k'],
    [999_499, '999k'],
    [999_500, '1.0M'],
    [123_000_000, '123M']
  ]);
  table(formatRoughly, [
    [999, '999'],
    [23_600, '23.6k'],
    [100_000, '100k']
  ]);
});

test('the rest', () => {
  table(formatPercent, [
    [312.5, '313%'],
    [-1, '0%']
  ]);
  table(formatQuantity, [
    [0.1 + 0.2, '0.3'],
    [4, '4'],
    [1.256, '1.26']
  ]);
  table(shortName, [
    ['f', 'f'],
    ['outer.<locals>.inner', 'inner'],
    ['a.<locals>.b.<locals>.Class.method', 'Class.method'],
    ['<lambda>', '<lambda>']
  ]);
  table(gpuName, [['NVIDIA H100 80GB HBM3', 'H100 80GB HBM3']]);
});

test('a ratio of nothing is nothing', () => {
  assert.equal(ratio(1, 0), 0);
  assert.equal(ratio(3, 2), 1);
  assert.equal(ratio(-1, 2), 0);
});
