/**
 * How far the calls of each function are: one bar a function.
 */

import * as React from 'react';

import { formatCount, shortName } from '../format';
import type { IFunctionRow } from '../state';
import { useWords } from '../words';
import { Capped, Elided } from './parts';
import { Progress, endedOf, totalOf } from './progress';

/** The progress of every function. */
export function Functions({ functions }: { functions: readonly IFunctionRow[] }): JSX.Element {
  const { __ } = useWords();
  return (
    <Capped
      rows={functions}
      label={__('Progress by function')}
      render={row => <FunctionProgress key={row.id} row={row} />}
    />
  );
}

const FunctionProgress = React.memo(function FunctionProgress(props: {
  row: IFunctionRow;
}): JSX.Element {
  const { __ } = useWords();
  const { row } = props;
  return (
    <li className="jp-Burrow-function">
      <Elided text={shortName(row.id)} title={row.id} />
      <span className="jp-Burrow-number">
        {__('%1 / %2', formatCount(endedOf(row)), formatCount(totalOf(row)))}
      </span>
      <Progress label={row.id} counts={row} />
    </li>
  );
});
