/**
 * The actors: class, name, what each runs and how many calls wait for it.
 */

import * as React from 'react';

import { formatCount } from '../format';
import type { IActorRow } from '../state';
import type { IActions, IBurrowState } from '../tokens';
import { useWords } from '../words';
import { Capped, Elided, IconButton, Nothing, Section, StateMark } from './parts';

/** The actors, the living first. */
export function Actors(props: { state: IBurrowState; actions: IActions }): JSX.Element {
  const { __, _n } = useWords();
  const all = [...props.state.actors.values()];
  const living = all.filter(actor => actor.state !== 'dead');
  const dead = all.filter(actor => actor.state === 'dead').reverse();
  return (
    <Section
      title={__('Actors')}
      summary={all.length > 0 ? _n('%1 alive', '%1 alive', living.length) : undefined}
    >
      {all.length === 0 ? (
        <Nothing text={__('There are no actors.')} />
      ) : (
        <Capped
          rows={[...living, ...dead]}
          label={__('Actors')}
          render={actor => <Actor key={actor.id} actor={actor} actions={props.actions} />}
        />
      )}
    </Section>
  );
}

const Actor = React.memo(function Actor(props: {
  actor: IActorRow;
  actions: IActions;
}): JSX.Element {
  const { __, _n } = useWords();
  const { actor, actions } = props;
  const isDead = actor.state === 'dead';
  const title = [
    actor.name === '' ? actor.class_name : `${actor.class_name} “${actor.name}”`,
    __('actor %1, %2', actor.id, __(actor.state)),
    _n('%2 call finished', '%2 calls finished', actor.finished, formatCount(actor.finished)),
    actor.restarts > 0 ? _n('restarted once', 'restarted %1 times', actor.restarts) : ''
  ];
  return (
    <li className="jp-Burrow-actor" data-dead={isDead ? 'true' : undefined}>
      <StateMark state={actor.method === '' ? actor.state : 'running'} />
      <span className="jp-Burrow-actorName" title={title.filter(line => line !== '').join('\n')}>
        <span className="jp-Burrow-name">{actor.class_name}</span>
        {actor.name !== '' && <span className="jp-Burrow-tag">{actor.name}</span>}
      </span>
      {isDead ? (
        <span className="jp-Burrow-noButton" />
      ) : (
        <IconButton
          icon="cross"
          danger
          label={__('Kill %1', actor.name || actor.class_name)}
          onClick={() => actions.killActor(actor)}
        />
      )}
      <Elided
        text={isDead ? actor.reason || __('dead') : actor.method || __(actor.state)}
        className={
          isDead || actor.method === '' ? 'jp-Burrow-doing jp-Burrow-dim' : 'jp-Burrow-doing'
        }
      />
      <span
        className="jp-Burrow-queue jp-Burrow-number"
        data-some={actor.queued > 0 ? 'true' : undefined}
        title={_n('%1 call waits', '%1 calls wait', actor.queued)}
      >
        {isDead ? '' : __('%1 queued', formatCount(actor.queued))}
      </span>
      <span className="jp-Burrow-pid" title={__('Process %1', actor.pid)}>
        {actor.pid || ''}
      </span>
    </li>
  );
});
