/**
 * What a list looked like when the pointer came over it, for as long as it stays there.
 *
 * Rows that move from under a pointer get the wrong click.
 */

import * as React from 'react';

export interface IHeld<T> {
  /** What was there when the pointer came; `null` while it is elsewhere. */
  readonly value: T | null;
  /** For the element that surrounds the rows. */
  readonly props: {
    readonly ref: React.RefObject<HTMLDivElement>;
    readonly onMouseEnter: () => void;
    readonly onMouseLeave: () => void;
  };
  /** Let go although the pointer is there. */
  readonly release: () => void;
}

export function useHeld<T>(look: () => T): IHeld<T> {
  const ref = React.useRef<HTMLDivElement>(null);
  const [held, setHeld] = React.useState<{ readonly value: T } | null>(null);
  const release = React.useCallback(() => setHeld(null), []);
  const isHeld = held !== null;
  React.useEffect(() => {
    if (!isHeld) {
      return;
    }
    // `mouseleave` is not enough: a browser tells nobody that the pointer has left where the
    // element under it was taken away before, as the button of a row that ends. It always
    // tells where the pointer came to.
    const onOver = (event: MouseEvent): void => {
      if (!(event.target instanceof Node) || ref.current?.contains(event.target) !== true) {
        release();
      }
    };
    const root = document.documentElement;
    document.addEventListener('mouseover', onOver, true);
    root.addEventListener('mouseleave', release);
    return () => {
      document.removeEventListener('mouseover', onOver, true);
      root.removeEventListener('mouseleave', release);
    };
  }, [isHeld, release]);
  return {
    value: held === null ? null : held.value,
    props: { ref, onMouseEnter: () => setHeld({ value: look() }), onMouseLeave: release },
    release
  };
}
