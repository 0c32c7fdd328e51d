/**
 * What the burrow may use and what is in use: resources, GPUs, the object store.
 */

import * as React from 'react';

import { formatBytes, formatCount, formatQuantity, gpuName, ratio } from '../format';
import type { IResourceRow } from '../state';
import type { IBurrowState, IWords } from '../tokens';
import { useWords } from '../words';
import { Elided, Meter, Section } from './parts';

const ALMOST_FULL = 0.9;

/** The one resource that counts bytes. */
const MEMORY = 'memory';

/** The resource that Ray knows the object store by. */
const STORE = 'object_store_memory';

/** Resources, GPUs and the object store. */
export function Resources({ state }: { state: IBurrowState }): JSX.Element {
  const words = useWords();
  const { __, _n } = words;
  const { objects, machine } = state;
  const held = objects.shared_bytes;
  // The store has a row of its own, with what is really in it.
  const resources = [...state.resources.values()].filter(({ id }) => id !== STORE);
  return (
    <Section title={__('Resources')}>
      <ul className="jp-Burrow-rows jp-Burrow-meters">
        {resources.map(row => (
          <Amount
            key={row.id}
            name={nameOf(row.id, words)}
            amount={amountOf(row)}
            fraction={ratio(row.used, row.total)}
          />
        ))}
        <Amount
          name={_n('%2 object', '%2 objects', objects.count, formatCount(objects.count))}
          amount={__('%1 / %2', formatBytes(held), formatBytes(objects.capacity_bytes))}
          fraction={ratio(held, objects.capacity_bytes)}
          warn={ratio(held, objects.capacity_bytes) > ALMOST_FULL}
          title={[
            __('%1 small ones in the head', formatBytes(objects.inline_bytes)),
            __('%1 kept warm for reuse', formatBytes(objects.free_bytes)),
            __('%1 on disk', formatBytes(objects.disk_bytes))
          ].join('\n')}
          note={objects.disk_bytes > 0 ? __('%1 on disk', formatBytes(objects.disk_bytes)) : ''}
        />
        {machine.gpus.map((name, index) => (
          <li key={`gpu-${index}`} className="jp-Burrow-gpu">
            <span>{__('GPU %1', index)}</span>
            <Elided text={gpuName(name)} title={name} className="jp-Burrow-dim" />
            <Elided text={userOfGpu(state, index) ?? __('free')} className="jp-Burrow-gpuUser" />
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Amount(props: {
  name: string;
  amount: string;
  fraction: number;
  warn?: boolean;
  title?: string;
  note?: string;
}): JSX.Element {
  const { name, amount, fraction, warn = false, title = `${name}: ${amount}`, note = '' } = props;
  return (
    <li className="jp-Burrow-amount" title={title}>
      <Elided text={name} title={title} />
      <Elided text={note} title={title} className="jp-Burrow-dim" />
      <span className="jp-Burrow-number">{amount}</span>
      <Meter fraction={fraction} label={name} warn={warn} />
    </li>
  );
}

function nameOf(resource: string, { __ }: IWords): string {
  return resource === MEMORY ? __('Memory') : resource;
}

function amountOf({ id, used, total }: IResourceRow): string {
  return id === MEMORY
    ? `${formatBytes(used)} / ${formatBytes(total)}`
    : `${formatQuantity(used)} / ${formatQuantity(total)}`;
}

/** What runs on a GPU: the actor or the task of the worker that was given it. */
function userOfGpu(state: IBurrowState, gpu: number): string | null {
  for (const worker of state.workers.values()) {
    if (worker.gpus.includes(gpu)) {
      return state.actors.get(worker.actor)?.class_name ?? (worker.task || String(worker.pid));
    }
  }
  return null;
}
