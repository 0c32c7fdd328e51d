/**
 * How far the calls of each function are: one bar a function.
 */

import * as React from 'react';

import { formatCount, shortName } from '../format';
import type { IFunctionRow } from '../state';
import { useWords } from '../words';
import { Capped, Elided } from './parts';

/** States in the order in which bars show them. */
const PARTS = ['finished', 'failed', 'cancelled', 'running', 'ready', 'waiting'] as const;

/** A part that is there at all is seen: below this it would be thinner than a pixel. */
const PART_MIN_PERCENT = 1.5;

/** The progress of every function. */
export function Functions({ functions }: { functions: readonly IFunctionRow[] }): JSX.Element {
  const { __ } = useWords();
  return (
    <Capped
      rows={functions}
      label={__('Progress by function')}
      render={row => <Progress key={row.id} row={row} />}
    />
  );
}

/** All calls of a function. */
export function totalOf(row: IFunctionRow): number {
  return PARTS.reduce((sum, part) => sum + row[part], 0);
}

const Progress = React.memo(function Progress({ row }: { row: IFunctionRow }): JSX.Element {
  const { __ } = useWords();
  const total = totalOf(row);
  const ended = row.finished + row.failed + row.cancelled;
  const parts = PARTS.filter(part => row[part] > 0);
  const all = parts.map(part => `${formatCount(row[part])} ${__(part)}`).join(', ');
  const queued = row.ready + row.waiting;
  // How many ended is said above the bar; here stands what is left, and what went wrong.
  const counts = (
    [
      ['running', row.running, __('running')],
      [row.ready > 0 ? 'ready' : 'waiting', queued, __('queued')],
      ['failed', row.failed, __('failed')],
      ['cancelled', row.cancelled, __('cancelled')]
    ] as const
  ).filter(([, count]) => count > 0);
  return (
    <li className="jp-Burrow-function">
      <Elided text={shortName(row.id)} title={row.id} />
      <span className="jp-Burrow-number">
        {__('%1 / %2', formatCount(ended), formatCount(total))}
      </span>
      <div
        className="jp-Burrow-progress"
        role="progressbar"
        aria-label={row.id}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={ended}
        aria-valuetext={all}
        title={all}
      >
        {parts.map(part => (
          <div
            key={part}
            className="jp-Burrow-part"
            data-state={part}
            style={{ flexGrow: Math.max(row[part], (total * PART_MIN_PERCENT) / 100) }}
          />
        ))}
      </div>
      <div className="jp-Burrow-counts" aria-hidden="true" title={all}>
        {counts.length === 0 ? (
          <span>{__('all finished')}</span>
        ) : (
          counts.map(([state, count, word]) => (
            <span key={state} className="jp-Burrow-count" data-state={state}>
              {formatCount(count)} {word}
            </span>
          ))
        )}
      </div>
    </li>
  );
});
