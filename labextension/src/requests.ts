/**
 * The REST API of the server extension. Every request carries the server's token or XSRF
 * mark by `ServerConnection`; errors come as `RequestError`.
 */

import type { ServerConnection } from '@jupyterlab/services';

import type { ICancelBody, ICellOutputs, IKillBody, IListing, IReason } from './state';

const API = 'burrow/api/burrows';

/** How requests are sent: `ServerConnection.makeRequest`. */
export type Send = typeof ServerConnection.makeRequest;

/** The server answered, and said no. */
export class RequestError extends Error {
  /**
   * @param status - The HTTP status.
   * @param message - What the server says about it.
   */
  constructor(
    readonly status: number,
    message: string
  ) {
    super(message);
    this.name = 'RequestError';
  }
}

/** What the server extension can be asked. */
export class BurrowApi {
  /**
   * @param settings - Where the server is.
   * @param send - How requests are sent.
   */
  constructor(settings: ServerConnection.ISettings, send: Send) {
    this._settings = settings;
    this._send = send;
  }

  /** The burrows of all kernels of the server. */
  async list(): Promise<readonly IListing[]> {
    const answer = await this._request('');
    return (await answer.json()) as readonly IListing[];
  }

  /** What is recorded of the outputs of cells; without messages where none came `since`. */
  async outputs(session: string, since: number): Promise<readonly ICellOutputs[]> {
    const answer = await this._request(`/${encodeURIComponent(session)}/outputs?since=${since}`);
    return (await answer.json()) as readonly ICellOutputs[];
  }

  /** Why a task has not ended: a sentence, and perhaps more lines. */
  async why(session: string, task: string): Promise<string> {
    const answer = await this._request(
      `/${encodeURIComponent(session)}/why?task=${encodeURIComponent(task)}`
    );
    return ((await answer.json()) as IReason).text;
  }

  /** Cancel a task; with `force` its worker is ended too. */
  async cancelTask(session: string, task: string, force = false): Promise<void> {
    const body: ICancelBody = force ? { task, force } : { task };
    await this._post(session, 'cancel', body);
  }

  /** Cancel everything that a run has launched. */
  async cancelRun(session: string, run: string): Promise<void> {
    const body: ICancelBody = { run };
    await this._post(session, 'cancel', body);
  }

  /** Kill an actor. */
  async killActor(session: string, actor: string): Promise<void> {
    const body: IKillBody = { actor };
    await this._post(session, 'kill', body);
  }

  /** Stop a burrow. */
  async stopBurrow(session: string): Promise<void> {
    await this._post(session, 'stop', {});
  }

  /** A socket that brings the events of a burrow. */
  openEvents(session: string): WebSocket {
    const { wsUrl, token, appendToken, WebSocket } = this._settings;
    const url = new URL(`${API}/${encodeURIComponent(session)}/events`, withSlash(wsUrl));
    if (appendToken && token !== '') {
      url.searchParams.set('token', token);
    }
    return new WebSocket(url.href);
  }

  private async _post(session: string, verb: string, body: object): Promise<void> {
    await this._request(`/${encodeURIComponent(session)}/${verb}`, {
      method: 'POST',
      body: JSON.stringify(body)
    });
  }

  private async _request(path: string, init: RequestInit = {}): Promise<Response> {
    const url = new URL(API + path, withSlash(this._settings.baseUrl));
    const answer = await this._send(url.href, init, this._settings);
    if (!answer.ok) {
      throw new RequestError(answer.status, await reasonOf(answer));
    }
    return answer;
  }

  private readonly _settings: ServerConnection.ISettings;
  private readonly _send: Send;
}

/** `new URL` replaces the last part of a base that does not end in a slash. */
function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`;
}

async function reasonOf(answer: Response): Promise<string> {
  try {
    const body: unknown = await answer.json();
    if (typeof body === 'object' && body !== null && 'message' in body) {
      return String(body.message);
    }
  } catch {
    // Not JSON: a proxy in between, or another server than we thought.
  }
  return answer.statusText || `HTTP ${answer.status}`;
}
