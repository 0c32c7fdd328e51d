/**
 * The top of the panel: whose burrow this is, how it is, and three numbers with their curves.
 */

import * as React from 'react';

import { formatBytes, formatDuration, formatPercent } from '../format';
import type { IBurrowState, ISample } from '../tokens';
import { useWords } from '../words';
import { Elided, Icon, StateMark } from './parts';

const CURVE_WIDTH = 72;
const CURVE_HEIGHT = 18;

/** The top of the panel. */
export function Header(props: {
  notebook: string;
  state: IBurrowState;
  samples: readonly ISample[];
  onStop: () => void;
}): JSX.Element {
  const { __ } = useWords();
  const { state, samples } = props;
  const { burrow, machine, at } = state;
  const isRunning = burrow.state === 'running';
  const start = new Date(burrow.started_at * 1000);
  return (
    <header className="jp-Burrow-header">
      <div className="jp-Burrow-title">
        <StateMark state={burrow.state} />
        <Elided
          text={props.notebook}
          className="jp-Burrow-notebook"
          title={[
            props.notebook,
            __('Python %1, Burrow %2', burrow.python, burrow.version),
            __('head %1, kernel %2', burrow.head_pid, burrow.driver_pid)
          ].join('\n')}
        />
        <button
          type="button"
          className="jp-Burrow-button"
          disabled={!isRunning}
          title={__('Stop this burrow and all that runs in it')}
          onClick={props.onStop}
        >
          <Icon name="stop" />
          {isRunning ? __('Stop') : __('Stopping…')}
        </button>
      </div>
      <dl className="jp-Burrow-tiles">
        <Tile
          label={__('CPU')}
          value={formatPercent(machine.cpu_percent)}
          title={__('Of the whole machine. Burrow uses %1: %2', machine.cpus, machine.cpus_reason)}
          values={samples.map(sample => sample.cpuPercent)}
          max={100}
        />
        <Tile
          label={__('Memory')}
          value={formatBytes(machine.burrow_rss_bytes)}
          title={__(
            'Of this burrow’s processes. The machine uses %1 of %2.',
            formatBytes(machine.memory_used_bytes),
            formatBytes(machine.memory_total_bytes)
          )}
          values={samples.map(sample => sample.memoryBytes)}
        />
        <Tile
          label={__('Uptime')}
          value={formatDuration(at - burrow.started_at, true)}
          title={__('Since %1', start.toLocaleString())}
        />
      </dl>
      {machine.paused !== '' && (
        <p className="jp-Burrow-paused" role="status">
          {machine.paused}
        </p>
      )}
    </header>
  );
}

function Tile(props: {
  label: string;
  value: string;
  title: string;
  values?: readonly number[];
  max?: number;
}): JSX.Element {
  const { values = [], max = 1.2 * Math.max(1, ...values) } = props;
  return (
    <div className="jp-Burrow-tile" title={props.title}>
      <dt>{props.label}</dt>
      <dd>{props.value}</dd>
      <Curve values={values} max={max} />
    </div>
  );
}

/** The last values as a line over a filled area, the newest at the right edge. */
export function Curve({ values, max }: { values: readonly number[]; max: number }): JSX.Element {
  const step = CURVE_WIDTH / Math.max(59, values.length - 1);
  const left = CURVE_WIDTH - step * (values.length - 1);
  const points = values.map((value, index) => {
    const height = Math.min(1, value / max) * (CURVE_HEIGHT - 2);
    return `${(left + index * step).toFixed(1)},${(CURVE_HEIGHT - 1 - height).toFixed(1)}`;
  });
  return (
    <svg
      className="jp-Burrow-curve"
      viewBox={`0 0 ${CURVE_WIDTH} ${CURVE_HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {points.length > 1 && (
        <>
          <polygon
            points={`${left.toFixed(1)},${CURVE_HEIGHT} ${points.join(' ')} ${CURVE_WIDTH},${CURVE_HEIGHT}`}
          />
          <polyline points={points.join(' ')} />
        </>
      )}
    </svg>
  );
}
