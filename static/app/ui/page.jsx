// What every page has at its top.

/** @import { ComponentChildren } from 'preact' */

import { Icon } from './icons.jsx';
import { Light } from './light.jsx';
import { to } from './route.js';
import { texts } from '../texts.js';

/**
 * @param {{
 *   title: ComponentChildren,
 *   subtitle?: ComponentChildren,
 *   icon?: string | null,
 *   back?: string,
 *   children?: ComponentChildren,
 * }} props `title` and `subtitle` are texts, or the name of something.
 */
export function PageHead({ title, subtitle, icon, back, children }) {
  return (
    <header class="page-head">
      <a class="icon-button back" href={back ?? to.home()} aria-label={texts.nav.back} data-always={Boolean(back)}>
        <Icon name="back" />
      </a>
      <div class="page-title">
        <h1>{icon && <Icon name={icon} />}<span>{title}</span></h1>
        {subtitle && <p>{subtitle}</p>}
      </div>
      {children}
      <Light />
    </header>
  );
}
