import * as assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ServerConnection } from '@jupyterlab/services';

import type { Send } from '../src/requests';
import { BurrowApi, RequestError } from '../src/requests';

class OpenedSocket {
  constructor(readonly url: string) {}
}

function api(answer: Response, changes: Partial<ServerConnection.ISettings> = {}) {
  const sent: [string, RequestInit][] = [];
  const settings = {
    baseUrl: 'http://host/a%40b/',
    wsUrl: 'ws://host/a%40b',
    token: 'se cret',
    appendToken: false,
    WebSocket: OpenedSocket,
    ...changes
  } as unknown as ServerConnection.ISettings;
  const send: Send = async (url, init) => {
    sent.push([url, init]);
    return answer;
  };
  return { api: new BurrowApi(settings, send), sent };
}

test('requests go below the base URL', async () => {
  const { api: asked, sent } = api(new Response('[]'));

  assert.deepEqual(await asked.list(), []);

  assert.equal(sent[0]?.[0], 'http://host/a%40b/burrow/api/burrows');
});

test('actions are posts with a body', async () => {
  const { api: asked, sent } = api(new Response(null, { status: 204 }));

  await asked.cancelTask('s', '1.2');
  await asked.cancelTask('s', '1.2', true);
  await asked.killActor('s', '1.3');
  await asked.stopBurrow('s');

  assert.deepEqual(
    sent.map(([url, init]) => [url.split('/burrows/')[1], init.method, init.body]),
    [
      ['s/cancel', 'POST', '{"task":"1.2"}'],
      ['s/cancel', 'POST', '{"task":"1.2","force":true}'],
      ['s/kill', 'POST', '{"actor":"1.3"}'],
      ['s/stop', 'POST', '{}']
    ]
  );
});

test('a refusal says why', async () => {
  const { api: refused } = api(new Response('{"message": "no such"}', { status: 404 }));
  const { api: proxied } = api(new Response('<html>', { status: 502, statusText: 'Bad Gateway' }));

  await assert.rejects(
    refused.list(),
    error => error instanceof RequestError && error.status === 404 && error.message === 'no such'
  );
  await assert.rejects(proxied.list(), /Bad Gateway/);
});

test('a token is in the address of a socket only where the server wants it there', () => {
  const answer = new Response('[]');

  assert.equal(api(answer).api.openEvents('s').url, 'ws://host/a%40b/burrow/api/burrows/s/events');
  assert.equal(
    api(answer, { appendToken: true }).api.openEvents('s').url,
    'ws://host/a%40b/burrow/api/burrows/s/events?token=se+cret'
  );
});
