/**
 * Burrow's mark: a mound with an entrance.
 */

import { LabIcon } from '@jupyterlab/ui-components';

/** The mark on the panel's tab. */
export const burrowIcon = new LabIcon({
  name: 'burrow-jupyter:burrow',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16">
  <path class="jp-icon3" fill="#616161" fill-rule="evenodd"
    d="M3 19a9 11 0 0 1 18 0zM8.5 19v-3.5a3.5 3.5 0 0 1 7 0V19z"/>
  <path class="jp-icon3" fill="#616161" d="M1 20.5h22v1.5H1z"/>
</svg>`
});
