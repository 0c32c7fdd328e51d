/**
 * Why a task has not ended, asked while somebody reads it.
 */

import * as React from 'react';

import type { ITaskRow } from '../state';
import type { IActions } from '../tokens';
import { useWords } from '../words';

/** Pause between an answer and the next question. */
const ASK_AGAIN_MS = 2000;

/** The answer as of a moment ago. */
export function Why(props: { task: ITaskRow; actions: IActions }): JSX.Element {
  const { __ } = useWords();
  const { task, actions } = props;
  const [text, setText] = React.useState('');
  React.useEffect(() => {
    let isWanted = true;
    let timer = 0;
    const ask = async () => {
      const answer = await actions
        .why(task)
        .catch((error: unknown) =>
          __('It can’t be told: %1', error instanceof Error ? error.message : String(error))
        );
      if (isWanted) {
        setText(answer);
        timer = window.setTimeout(() => void ask(), ASK_AGAIN_MS);
      }
    };
    void ask();
    return () => {
      isWanted = false;
      window.clearTimeout(timer);
    };
  }, [task.id, task.state, actions]);
  return <Reason text={text} />;
}

/** A sentence; the lines behind it are code. Empty until there is an answer. */
export function Reason({ text }: { text: string }): JSX.Element {
  const [sentence, ...lines] = text.split('\n');
  return (
    <div className="jp-Burrow-why" role="status">
      <p>{sentence === '' ? '…' : sentence}</p>
      {lines.length > 0 && <pre>{lines.join('\n')}</pre>}
    </div>
  );
}
