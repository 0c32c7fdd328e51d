/**
 * The words of the views, through React's context: English until somebody gives a
 * translation, so that views render anywhere.
 */

import * as React from 'react';

import type { IWords } from './tokens';

/** English as written in the source. */
export const ENGLISH: IWords = {
  __: fill,
  _n: (one, many, count, ...values) => fill(count === 1 ? one : many, count, ...values)
};

/** The words of a translation bundle; `__` and `_n` may be taken out of the answer. */
export function wordsOf(bundle: IWords): IWords {
  return {
    __: (text, ...values) => bundle.__(text, ...values),
    _n: (one, many, count, ...values) => bundle._n(one, many, count, ...values)
  };
}

/** Gives the views below it their words. */
export const WordsContext = React.createContext<IWords>(ENGLISH);

/** The words in the user's language. */
export function useWords(): IWords {
  return React.useContext(WordsContext);
}

/** Puts values at %1, %2 and so on, as gettext does. */
function fill(text: string, ...values: (string | number)[]): string {
  return text.replace(/%(\d)/g, (mark, index) => String(values[Number(index) - 1] ?? mark));
}
