/**
 * The worker processes: what each runs, and what it costs.
 */

import * as React from 'react';

import { formatBytes, formatCount, formatPercent, shortName } from '../format';
import type { IWorkerRow } from '../state';
import type { IBurrowState } from '../tokens';
import { useWords } from '../words';
import { Capped, Elided, Nothing, Section, StateMark } from './parts';

/** The worker processes, in the order of their birth. */
export function Workers({ state }: { state: IBurrowState }): JSX.Element {
  const { __ } = useWords();
  const workers = [...state.workers.values()];
  const busy = workers.filter(worker => worker.state === 'busy').length;
  return (
    <Section
      title={__('Workers')}
      className="jp-Burrow-workers"
      summary={workers.length > 0 ? __('%1 of %2 busy', busy, workers.length) : undefined}
    >
      {workers.length === 0 ? (
        <Nothing text={__('No worker is running; the first call starts one.')} />
      ) : (
        <Capped
          rows={workers}
          label={__('Workers')}
          render={worker => (
            <Worker
              key={worker.id}
              worker={worker}
              className={state.actors.get(worker.actor)?.class_name ?? ''}
            />
          )}
        />
      )}
    </Section>
  );
}

const Worker = React.memo(function Worker(props: {
  worker: IWorkerRow;
  /** Class of the actor that it is. */
  className: string;
}): JSX.Element {
  const { __, _n } = useWords();
  const { worker, className } = props;
  const doing = worker.task || className;
  const title = [
    doing || __(worker.state),
    className === '' ? '' : __('is the actor %1', worker.actor),
    _n('%2 call ended here', '%2 calls ended here', worker.finished, formatCount(worker.finished)),
    worker.gpus.length > 0 ? __('GPU %1', worker.gpus.join(', ')) : ''
  ];
  return (
    <li className="jp-Burrow-worker">
      <StateMark state={worker.state} />
      <span className="jp-Burrow-pid" title={__('Process %1', worker.pid)}>
        {worker.pid || '–'}
      </span>
      <Elided
        text={shortName(doing) || __(worker.state)}
        className={worker.task === '' ? 'jp-Burrow-dim' : ''}
        title={title.filter(line => line !== '').join('\n')}
      />
      <span className="jp-Burrow-number" title={__('Memory')}>
        {formatBytes(worker.rss_bytes)}
      </span>
      <span className="jp-Burrow-number" title={__('CPU, of one core')}>
        {formatPercent(worker.cpu_percent)}
      </span>
    </li>
  );
});
