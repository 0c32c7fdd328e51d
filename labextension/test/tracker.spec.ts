import * as assert from 'node:assert/strict';
import { test } from 'node:test';

import { CLOSE_ENDED } from '../src/feed';
import { BurrowModel } from '../src/model';
import { RequestError } from '../src/requests';
import type { IListing } from '../src/state';
import type { INotebook } from '../src/tokens';
import { BurrowTracker, LOOK_BUSY_MS, LOOK_SOON_MS } from '../src/tracker';
import { Clock, FakeSocket, settle } from './clock';
import { SESSION, burrow, snapshot } from './rows';

const OTHER = 'f'.repeat(16);

function listing(session: string, kernelId: string, startedAt = 1): IListing {
  return { session, kernel_id: kernelId, pid: 1, started_at: startedAt };
}

function notebook(changes: Partial<INotebook> = {}): INotebook {
  return { name: 'a.ipynb', kernelId: 'kernel-1', busy: false, ...changes };
}

function track(listings: IListing[] = []) {
  const clock = new Clock();
  const model = new BurrowModel();
  const opened: [string, FakeSocket][] = [];
  const server = { listings, looks: 0, error: null as Error | null };
  const tracker = new BurrowTracker({
    model,
    api: {
      list: async () => {
        server.looks += 1;
        if (server.error !== null) {
          throw server.error;
        }
        return server.listings;
      },
      openEvents: session => {
        opened.push([session, new FakeSocket()]);
        return opened.at(-1)![1];
      }
    },
    timers: clock,
    now: () => clock.nowMs
  });
  return {
    tracker,
    model,
    clock,
    opened,
    server,
    socket: () => opened.at(-1)![1],
    kind: () => model.phase.kind
  };
}

test('the burrow of the active kernel is followed, and no other', async () => {
  const { tracker, opened, socket, kind, model } = track([
    listing(OTHER, 'kernel-2'),
    listing(SESSION, 'kernel-1')
  ]);

  tracker.setNotebook(notebook());
  tracker.setVisible(true);
  await settle();
  assert.deepEqual(
    opened.map(([session]) => session),
    [SESSION]
  );
  socket().send(snapshot());

  assert.equal(kind(), 'live');
  assert.equal(model.notebook, 'a.ipynb');
});

test('of several the newest is followed', async () => {
  const { tracker } = track([
    listing('1'.repeat(16), 'kernel-1', 5),
    listing(SESSION, 'kernel-1', 9),
    listing('2'.repeat(16), 'kernel-1', 7)
  ]);

  tracker.setNotebook(notebook());
  tracker.setVisible(true);
  await settle();

  assert.equal(tracker.session, SESSION);
});

test('a hidden panel asks nothing and lets go', async () => {
  const { tracker, server, socket, opened } = track([listing(SESSION, 'kernel-1')]);
  tracker.setNotebook(notebook());
  await settle();
  assert.equal(server.looks, 0);

  tracker.setVisible(true);
  await settle();
  tracker.setVisible(false);

  assert.ok(socket().isClosed);
  assert.equal(opened.length, 1);
});

test('another notebook means another burrow', async () => {
  const { tracker, opened, kind } = track([
    listing(SESSION, 'kernel-1'),
    listing(OTHER, 'kernel-2')
  ]);
  tracker.setNotebook(notebook());
  tracker.setVisible(true);
  await settle();

  tracker.setNotebook(notebook({ name: 'b.ipynb', kernelId: 'kernel-2' }));
  await settle();

  assert.ok(opened[0]?.[1].isClosed);
  assert.equal(tracker.session, OTHER);
  assert.equal(kind(), 'connecting');
});

test('without a notebook or a kernel that is said, and nothing is asked', async () => {
  const { tracker, server, kind } = track();
  tracker.setVisible(true);

  tracker.setNotebook(null);
  assert.equal(kind(), 'no-notebook');
  tracker.setNotebook(notebook({ kernelId: '' }));
  await settle();

  assert.equal(kind(), 'no-kernel');
  assert.equal(server.looks, 0);
});

test('an idle kernel without a burrow is not asked about again', async () => {
  const { tracker, server, clock, kind } = track();
  tracker.setNotebook(notebook());
  tracker.setVisible(true);
  await clock.pass(60_000);

  assert.equal(kind(), 'no-burrow');
  assert.equal(server.looks, 1);
});

test('a burrow that a running cell starts is found', async () => {
  const { tracker, server, clock } = track();
  tracker.setNotebook(notebook());
  tracker.setVisible(true);
  await settle();

  tracker.setNotebook(notebook({ busy: true }));
  await clock.pass(LOOK_SOON_MS);
  assert.equal(tracker.session, '');
  server.listings = [listing(SESSION, 'kernel-1')];
  await clock.pass(LOOK_BUSY_MS);

  assert.equal(tracker.session, SESSION);
});

test('an ended burrow stays ended, even while it is still listed, until a new one comes', async () => {
  const { tracker, server, clock, socket, kind } = track([listing(SESSION, 'kernel-1')]);
  tracker.setNotebook(notebook());
  tracker.setVisible(true);
  await settle();
  socket().send(snapshot());

  socket().break(CLOSE_ENDED);
  await clock.pass(5000);
  assert.equal(kind(), 'ended');

  server.listings = [listing(OTHER, 'kernel-1', 2)];
  tracker.setNotebook(notebook({ busy: true }));
  await clock.pass(LOOK_SOON_MS);
  assert.equal(tracker.session, OTHER);
  socket().send(snapshot({ burrow: burrow({ session: OTHER }) }));
  assert.equal(kind(), 'live');
});

test('a server without the extension is told apart from one that is away', async () => {
  const { tracker, server, clock, kind, model } = track([listing(SESSION, 'kernel-1')]);
  server.error = new RequestError(404, 'Not Found');
  tracker.setNotebook(notebook());
  tracker.setVisible(true);
  await clock.pass(60_000);
  assert.deepEqual(model.phase, { kind: 'unavailable', status: 404, message: 'Not Found' });
  assert.equal(server.looks, 1);

  server.error = new TypeError('Failed to fetch');
  tracker.reconnect();
  await settle();
  assert.equal(kind(), 'lost');

  server.error = null;
  await clock.pass(1000);
  assert.equal(tracker.session, SESSION);
});

test('an answer that comes too late is not believed', async () => {
  const { tracker, opened } = track([listing(SESSION, 'kernel-1')]);
  tracker.setNotebook(notebook());
  tracker.setVisible(true);

  tracker.setNotebook(null);
  await settle();

  assert.deepEqual(opened, []);
});
