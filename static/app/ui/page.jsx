// The header of every page.

/** @import { ComponentChildren } from 'preact' */

import { Icon } from './icons.jsx';
import { ConnectionIndicator } from './connection-indicator.jsx';
import { to } from './route.js';
import { texts } from '../texts.js';

/**
 * @param {{
 *   title: ComponentChildren,
 *   subtitle?: ComponentChildren,
 *   icon?: string | null,
 *   back?: string,
 *   children?: ComponentChildren,
 * }} props `title` and `subtitle` are texts or <Name> elements.
 */
export function PageHead({ title, subtitle, icon, back, children }) {
  return (
    <header class="page-head">
      <a class="icon-button page-back" href={back ?? to.home()} aria-label={texts.nav.back} data-always={Boolean(back)}>
        <Icon name="back" />
      </a>
      <div class="page-title">
        <h1>{icon && <Icon name={icon} />}<span>{title}</span></h1>
        {subtitle && <p>{subtitle}</p>}
      </div>
      {children}
      <ConnectionIndicator />
    </header>
  );
}
