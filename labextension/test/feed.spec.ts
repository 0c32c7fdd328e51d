import * as assert from 'node:assert/strict';
import { test } from 'node:test';

import { CLOSE_ENDED, FeedConnection, RETRY_FIRST_MS, RETRY_MAX_MS, SILENCE_MS } from '../src/feed';
import type { Feed } from '../src/state';
import { Clock, FakeSocket, settle } from './clock';
import { delta, snapshot } from './rows';

function follow(exists: () => Promise<boolean> = async () => true) {
  const clock = new Clock();
  const sockets: FakeSocket[] = [];
  const updates: Feed[] = [];
  const pauses: number[] = [];
  let ends = 0;
  const feed = new FeedConnection({
    open: () => {
      sockets.push(new FakeSocket());
      return sockets.at(-1)!;
    },
    exists,
    onUpdate: update => updates.push(update),
    onLost: pauseMs => pauses.push(pauseMs),
    onEnded: () => (ends += 1),
    timers: clock
  });
  return {
    feed,
    clock,
    sockets,
    updates,
    pauses,
    socket: () => sockets.at(-1)!,
    seqs: () => updates.map(update => update.seq),
    ends: () => ends
  };
}

test('a snapshot and the deltas after it are passed on', () => {
  const { socket, seqs, sockets } = follow();

  socket().send(snapshot({ seq: 7 }), delta(8), delta(9));

  assert.deepEqual(seqs(), [7, 8, 9]);
  assert.equal(sockets.length, 1);
});

test('a snapshot may come at any time', () => {
  const { socket, seqs } = follow();

  socket().send(snapshot({ seq: 7 }), snapshot({ seq: 20 }), delta(21));

  assert.deepEqual(seqs(), [7, 20, 21]);
});

test('a gap is healed by a new connection, and nothing wrong is passed on', () => {
  const { socket, seqs, sockets, pauses } = follow();
  socket().send(snapshot({ seq: 7 }), delta(9));
  assert.equal(sockets.length, 2);
  assert.ok(sockets[0]?.isClosed);

  socket().send(snapshot({ seq: 10 }), delta(11));

  assert.deepEqual(seqs(), [7, 10, 11]);
  assert.deepEqual(pauses, [], 'nobody needs to know');
});

test('a broken connection is made again, with growing pauses up to a bound', async () => {
  const { clock, socket, pauses, sockets } = follow();

  for (let time = 0; time < 8; time += 1) {
    socket().break();
    await clock.pass(RETRY_MAX_MS);
  }

  assert.deepEqual(pauses.slice(0, 3), [RETRY_FIRST_MS, 2 * RETRY_FIRST_MS, 4 * RETRY_FIRST_MS]);
  assert.equal(pauses.at(-1), RETRY_MAX_MS);
  assert.ok(sockets.length >= 8);
});

test('after a success the pauses are short again', async () => {
  const { clock, socket, pauses } = follow();
  socket().break();
  await clock.pass(RETRY_FIRST_MS);
  socket().break();
  await clock.pass(2 * RETRY_FIRST_MS);

  socket().send(snapshot());
  socket().break();

  assert.equal(pauses.at(-1), RETRY_FIRST_MS);
});

test('an unreachable server is tried again', async () => {
  let reachable = false;
  const { clock, socket, sockets, pauses } = follow(async () => {
    if (!reachable) {
      throw new TypeError('Failed to fetch');
    }
    return true;
  });
  socket().break();
  await clock.pass(RETRY_FIRST_MS);
  assert.equal(sockets.length, 1);
  assert.equal(pauses.length, 2);

  reachable = true;
  await clock.pass(2 * RETRY_FIRST_MS);

  assert.equal(sockets.length, 2);
});

test('a burrow that is gone is not waited for', async () => {
  const { clock, socket, ends } = follow(async () => false);

  socket().break();
  await clock.pass(RETRY_FIRST_MS);

  assert.equal(ends(), 1);
  assert.equal(clock.size, 0);
});

test('the server says that the burrow has ended', () => {
  const { feed, clock, socket, ends, pauses } = follow();

  socket().break(CLOSE_ENDED);

  assert.equal(ends(), 1);
  assert.deepEqual(pauses, []);
  assert.ok(feed.isDisposed);
  assert.equal(clock.size, 0);
});

test('silence counts as a broken connection', async () => {
  const { clock, socket, sockets, pauses } = follow();
  socket().send(snapshot());
  await clock.pass(SILENCE_MS - 1);
  socket().send(delta(2));
  await clock.pass(SILENCE_MS - 1);
  assert.deepEqual(pauses, []);

  await clock.pass(1);

  assert.deepEqual(pauses, [RETRY_FIRST_MS]);
  assert.ok(sockets[0]?.isClosed);
});

test('the pause can be cut short', async () => {
  const { feed, socket, sockets, clock } = follow();
  socket().break();

  feed.retryNow();
  await settle();

  assert.equal(sockets.length, 2);
  assert.equal(clock.size, 1, 'the watch for silence');
});

test('nothing is heard after dispose', async () => {
  const { feed, clock, sockets, updates, ends } = follow();
  const [first] = sockets;
  first?.break();
  feed.dispose();

  first?.send(snapshot());
  await clock.pass(RETRY_MAX_MS);

  assert.deepEqual(updates, []);
  assert.equal(sockets.length, 1);
  assert.equal(ends(), 0);
  assert.equal(clock.size, 0);
});
