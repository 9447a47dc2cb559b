// How texts of users are shown: long texts are folded, links and mentions are highlighted. Pure functions.

import { mentionsIn } from './mentions.js';

const FOLDED_LINES = 16;
const FOLDED_LENGTH = 1_600;

// The beginning of a long text, or a short text unchanged. A text is long if it has more than 1.5 times FOLDED_LINES or
// FOLDED_LENGTH (in UTF-16 units). Folding a text that is only a little longer would hide too little.
export function beginningOf(text) {
  const lines = text.split('\n', FOLDED_LINES * 1.5 + 1);
  if (lines.length <= FOLDED_LINES * 1.5 && text.length <= FOLDED_LENGTH * 1.5) return text;
  const beginning = lines.slice(0, FOLDED_LINES).join('\n').slice(0, FOLDED_LENGTH);
  // Cut at white space if there is some in the second half; never cut within a surrogate pair.
  const gap = beginning.length < FOLDED_LENGTH ? -1 : beginning.search(/\s\S*$/);
  const cut = gap > FOLDED_LENGTH / 2 ? beginning.slice(0, gap) : beginning.replace(/[\ud800-\udbff]$/, '');
  return `${cut.trimEnd()} …`;
}

// A name without the Unicode control characters for text direction. Such a character could end the isolation of the
// <bdi> element around the name and reorder the text beside it.
export function shownName(name) {
  return name?.replace(/[\u202a-\u202e\u2066-\u2069]/g, '');
}

const LINK = /https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]]/gu;

// Splits a text into pieces `{ kind: 'text' | 'link' | 'mention', text }`. Together they are the whole text.
export function piecesOf(text) {
  const links = [...text.matchAll(LINK)].map(({ 0: link, index }) => ({ kind: 'link', start: index, end: index + link.length }));
  const mentions = mentionsIn(text).map((mention) => ({ kind: 'mention', ...mention }));
  const special = [...links, ...mentions].sort((one, other) => one.start - other.start);
  const pieces = [];
  let at = 0;
  for (const { kind, start, end } of special) {
    if (start < at) continue;
    if (start > at) pieces.push({ kind: 'text', text: text.slice(at, start) });
    pieces.push({ kind, text: text.slice(start, end) });
    at = end;
  }
  if (at < text.length) pieces.push({ kind: 'text', text: text.slice(at) });
  return pieces;
}
