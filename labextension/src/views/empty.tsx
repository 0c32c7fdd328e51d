/**
 * What the panel shows when there is no burrow to show: what is the case, and what to do.
 */

import * as React from 'react';

import type { IActions, IWords, Phase } from '../tokens';
import { useWords } from '../words';

/** A burrow seen from the side: an entrance, a tunnel, a chamber. */
function Picture(): JSX.Element {
  return (
    <svg className="jp-Burrow-picture" viewBox="0 0 120 72" aria-hidden="true">
      <path d="M4 22 h34 m18 0 h60" className="jp-Burrow-ground" />
      <path d="M38 22 C40 44 52 40 62 46 M56 22 C58 34 66 32 76 38" className="jp-Burrow-tunnel" />
      <ellipse cx="80" cy="50" rx="24" ry="14" className="jp-Burrow-chamber" />
      <circle cx="72" cy="50" r="3.5" className="jp-Burrow-dot1" />
      <circle cx="82" cy="50" r="3.5" className="jp-Burrow-dot2" />
      <circle cx="92" cy="50" r="3.5" className="jp-Burrow-dot3" />
    </svg>
  );
}

/** An empty panel. */
export function Empty(props: { phase: Phase; notebook: string; actions: IActions }): JSX.Element {
  const words = useWords();
  const { title, text, code, retry } = contentOf(props.phase, props.notebook, words);
  return (
    <div className="jp-Burrow-empty" data-phase={props.phase.kind} role="status">
      <Picture />
      <h3>{title}</h3>
      <p>{text}</p>
      {code !== undefined && <pre>{code}</pre>}
      {retry === true && (
        <button
          type="button"
          className="jp-Burrow-button"
          onClick={() => props.actions.reconnect()}
        >
          {words.__('Try again')}
        </button>
      )}
    </div>
  );
}

interface IContent {
  readonly title: string;
  readonly text: string;
  readonly code?: string;
  readonly retry?: boolean;
}

function contentOf(phase: Phase, notebook: string, { __ }: IWords): IContent {
  switch (phase.kind) {
    case 'no-notebook':
      return {
        title: __('No notebook is open'),
        text: __('This panel shows the burrow of the notebook in front.')
      };
    case 'no-kernel':
      return {
        title: __('%1 has no kernel', notebook),
        text: __('A burrow belongs to a running kernel. Start one by running a cell.')
      };
    case 'no-burrow':
      return {
        title: __('No burrow yet'),
        text: __('Run this in a cell of %1; the first remote call starts the burrow.', notebook),
        code: '%load_ext burrow'
      };
    case 'ended':
      return {
        title: __('The burrow has ended'),
        text: __('The next remote call in %1 starts a new one.', notebook)
      };
    case 'lost':
      return {
        title: __('The server can’t be reached'),
        text: __('Your work goes on in the meantime.'),
        retry: true
      };
    case 'unavailable':
      return unavailable(phase.status, phase.message, { __ });
    case 'connecting':
    case 'live':
      return { title: __('Looking into the burrow…'), text: notebook };
  }
}

function unavailable(status: number, message: string, { __ }: Pick<IWords, '__'>): IContent {
  switch (status) {
    case 404:
      return {
        title: __('Burrow’s server extension is not enabled'),
        text: __('Install Burrow where Jupyter runs too, enable it, and restart Jupyter:'),
        code: 'pip install burrow-jupyter\njupyter server extension enable burrow_jupyter',
        retry: true
      };
    case 401:
    case 403:
      return {
        title: __('You may not see burrows here'),
        text: __('The server says: %1', message),
        retry: true
      };
    default:
      return { title: __('The server refuses'), text: message, retry: true };
  }
}
