/**
 * How far a number of tasks is: a bar with a part for each state, and the counts below it.
 */

import * as React from 'react';

import { formatCount } from '../format';
import { useWords } from '../words';

/** States in the order in which bars show them. */
const PARTS = ['finished', 'failed', 'cancelled', 'running', 'ready', 'waiting'] as const;

/** A part that is there at all is seen: below this it would be thinner than a pixel. */
const PART_MIN_PERCENT = 1.5;

/** How many tasks are in which state. */
export type Counts = { readonly [part in (typeof PARTS)[number]]: number };

/** All of them. */
export function totalOf(counts: Counts): number {
  return PARTS.reduce((sum, part) => sum + counts[part], 0);
}

/** Those that have ended. */
export function endedOf(counts: Counts): number {
  return counts.finished + counts.failed + counts.cancelled;
}

/** The bar and the counts; children stand behind the counts. */
export function Progress(props: {
  label: string;
  counts: Counts;
  /** Whether the counts tell what finished too; else they tell what is left and went wrong. */
  tellsFinished?: boolean;
  children?: React.ReactNode;
}): JSX.Element {
  const { __ } = useWords();
  const { label, counts } = props;
  const total = totalOf(counts);
  const parts = PARTS.filter(part => counts[part] > 0);
  const all = parts.map(part => `${formatCount(counts[part])} ${__(part)}`).join(', ');
  const told = (
    [
      ['finished', props.tellsFinished === true ? counts.finished : 0, __('done')],
      ['running', counts.running, __('running')],
      [counts.ready > 0 ? 'ready' : 'waiting', counts.ready + counts.waiting, __('queued')],
      ['failed', counts.failed, __('failed')],
      ['cancelled', counts.cancelled, __('cancelled')]
    ] as const
  ).filter(([, count]) => count > 0);
  return (
    <>
      <div
        className="jp-Burrow-progress"
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={endedOf(counts)}
        aria-valuetext={all}
        title={all}
      >
        {parts.map(part => (
          <div
            key={part}
            className="jp-Burrow-part"
            data-state={part}
            style={{ flexGrow: Math.max(counts[part], (total * PART_MIN_PERCENT) / 100) }}
          />
        ))}
      </div>
      <div className="jp-Burrow-counts" aria-hidden="true" title={all}>
        {told.length === 0 ? (
          <span>{__('all finished')}</span>
        ) : (
          told.map(([state, count, word]) => (
            <span key={state} className="jp-Burrow-count" data-state={state}>
              {formatCount(count)} {word}
            </span>
          ))
        )}
        {props.children}
      </div>
    </>
  );
}
