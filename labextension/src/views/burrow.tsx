/**
 * The whole panel, composed of the views: props in, callbacks out.
 */

import * as React from 'react';

import type { IActions, IBurrowModel, ICells, Phase } from '../tokens';
import { useWords } from '../words';
import { Actors } from './actors';
import { Empty } from './empty';
import { Header } from './header';
import { IconButton } from './parts';
import { Resources } from './resources';
import { Runs } from './runs';
import { Tasks } from './tasks';
import { Workers } from './workers';

const SECOND_MS = 1000;

/** What is shown of a burrow. */
export type IBurrowProps = Pick<
  IBurrowModel,
  'notebook' | 'phase' | 'state' | 'samples' | 'stopping' | 'notice'
> & { readonly actions: IActions; readonly cells: ICells };

/** The whole panel. */
export function Burrow(props: IBurrowProps): JSX.Element {
  const { phase, state, actions } = props;
  if (state === null || (phase.kind !== 'live' && phase.kind !== 'lost')) {
    return <Empty phase={phase} notebook={props.notebook} actions={actions} />;
  }
  return (
    <div className="jp-Burrow-scroller">
      <div className="jp-Burrow-top">
        <Header
          notebook={props.notebook}
          state={state}
          samples={props.samples}
          onStop={() => actions.stopBurrow()}
        />
        {phase.kind === 'lost' && <Lost phase={phase} onRetry={() => actions.reconnect()} />}
        {props.notice !== '' && (
          <Notice text={props.notice} onDismiss={() => actions.dismissNotice()} />
        )}
      </div>
      <div className="jp-Burrow-content" data-stale={phase.kind === 'lost' ? 'true' : undefined}>
        <Runs state={state} stopping={props.stopping} cells={props.cells} actions={actions} />
        <Tasks state={state} stopping={props.stopping} actions={actions} />
        <Actors state={state} actions={actions} />
        <Workers state={state} />
        <Resources state={state} />
      </div>
    </div>
  );
}

/** Says that what is shown is old, and when the next attempt is made. */
function Lost(props: {
  phase: Phase & { readonly kind: 'lost' };
  onRetry: () => void;
}): JSX.Element {
  const { __ } = useWords();
  const now = useNow();
  const seconds = Math.max(0, Math.ceil((props.phase.retryAt - now) / SECOND_MS));
  return (
    <div className="jp-Burrow-banner" data-kind="warn" role="status">
      <span>
        {seconds > 0
          ? __('Connection lost. Again in %1 s', seconds)
          : __('Connection lost. Reconnecting…')}
      </span>
      <button type="button" className="jp-Burrow-link" onClick={props.onRetry}>
        {__('Now')}
      </button>
    </div>
  );
}

function Notice(props: { text: string; onDismiss: () => void }): JSX.Element {
  const { __ } = useWords();
  return (
    <div className="jp-Burrow-banner" data-kind="error" role="alert">
      <span>{props.text}</span>
      <IconButton icon="cross" label={__('Dismiss')} onClick={props.onDismiss} />
    </div>
  );
}

/** This page's clock, read again every second. */
function useNow(): number {
  const [now, setNow] = React.useState(() => Date.now());
  React.useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), SECOND_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}
