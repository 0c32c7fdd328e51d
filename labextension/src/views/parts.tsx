/**
 * Small parts that the views share: state marks, bars, icon buttons, sections.
 */

import * as React from 'react';

import { useWords } from '../words';

/** How many rows a table shows before "n more". */
export const ROWS_MAX = 8;

/** The mark of a state: told by colour and by shape, and by name to whoever sees neither. */
export function StateMark({ state }: { state: string }): JSX.Element {
  const { __ } = useWords();
  const label = __(state);
  return (
    <span
      className="jp-Burrow-mark"
      data-state={state}
      role="img"
      aria-label={label}
      title={label}
    />
  );
}

/** Text that is cut where there is no room, whole in its tooltip. */
export function Elided(props: { text: string; className?: string; title?: string }): JSX.Element {
  const { text, className = '', title = text } = props;
  return (
    <span className={`jp-Burrow-elided ${className}`.trim()} title={title}>
      {text}
    </span>
  );
}

/** A bar that is filled to `fraction`. */
export function Meter(props: { fraction: number; label: string; warn?: boolean }): JSX.Element {
  const percent = Math.round(props.fraction * 100);
  return (
    <div
      className="jp-Burrow-meter"
      data-warn={props.warn === true ? 'true' : undefined}
      role="meter"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
    >
      <div className="jp-Burrow-meterFill" style={{ width: `${percent}%` }} />
    </div>
  );
}

const ICONS = {
  /** A square: stop. */
  stop: <rect x="4" y="4" width="8" height="8" rx="1" />,
  /** A cross: kill, put away. */
  cross: <path d="M4.5 4.5l7 7m0-7l-7 7" className="jp-Burrow-stroke" />,
  /** A flash: force. */
  flash: <path d="M9.5 1.5L3.5 9h4l-1 5.5 6-7.5h-4z" />,
  /** Points right; turned when open. */
  caret: <path d="M6 4l4 4-4 4" className="jp-Burrow-stroke" />
} as const;

/** One of the panel's pictograms, in the colour of the text. */
export function Icon({ name }: { name: keyof typeof ICONS }): JSX.Element {
  return (
    <svg className="jp-Burrow-icon" viewBox="0 0 16 16" aria-hidden="true">
      {ICONS[name]}
    </svg>
  );
}

/** A button that shows only its pictogram. */
export function IconButton(props: {
  icon: keyof typeof ICONS;
  label: string;
  onClick: () => void;
  danger?: boolean;
}): JSX.Element {
  return (
    <button
      type="button"
      className="jp-Burrow-iconButton"
      data-danger={props.danger === true ? 'true' : undefined}
      title={props.label}
      aria-label={props.label}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </button>
  );
}

/** A part of the panel that can be folded; its heading says the most important number. */
export function Section(props: {
  title: string;
  summary?: string | undefined;
  className?: string;
  children: React.ReactNode;
}): JSX.Element {
  const [open, setOpen] = React.useState(true);
  const id = React.useId();
  return (
    <section
      className={`jp-Burrow-section ${props.className ?? ''}`.trim()}
      aria-labelledby={`${id}-title`}
    >
      <h3 className="jp-Burrow-heading">
        <button
          type="button"
          id={`${id}-title`}
          aria-expanded={open}
          aria-controls={`${id}-body`}
          onClick={() => setOpen(!open)}
        >
          <Icon name="caret" />
          <span className="jp-Burrow-headingText">{props.title}</span>
          <span className="jp-Burrow-headingSummary">{props.summary}</span>
        </button>
      </h3>
      <div id={`${id}-body`} hidden={!open} className="jp-Burrow-body">
        {open && props.children}
      </div>
    </section>
  );
}

/** The first rows of a list, and a button for the rest. */
export function Capped<Row>(props: {
  rows: readonly Row[];
  max?: number;
  label: string;
  render: (row: Row) => JSX.Element;
}): JSX.Element {
  const { __ } = useWords();
  const { rows, max = ROWS_MAX } = props;
  const [all, setAll] = React.useState(false);
  const hidden = rows.length - max;
  const shown = all ? rows : rows.slice(0, max);
  return (
    <>
      <ul className="jp-Burrow-rows" aria-label={props.label}>
        {shown.map(props.render)}
      </ul>
      {hidden > 0 && (
        <button type="button" className="jp-Burrow-more" onClick={() => setAll(!all)}>
          {all ? __('Show fewer') : __('%1 more', hidden)}
        </button>
      )}
    </>
  );
}

/** A line that says that there is nothing. */
export function Nothing({ text }: { text: string }): JSX.Element {
  return <p className="jp-Burrow-nothing">{text}</p>;
}
