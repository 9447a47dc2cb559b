// How texts of people are shown: what is folded, and what stands out in them. Pure.

import { mentionsIn } from './mentions.js';

const FOLDED_LINES = 16;
const FOLDED_LENGTH = 1_600;

// The beginning of a text that is longer than a screen, or the whole of one that is not. Nothing is folded for less than
// half as much again: to unfold it would cost more than to read it.
export function beginningOf(text) {
  const lines = text.split('\n', FOLDED_LINES * 1.5 + 1);
  if (lines.length <= FOLDED_LINES * 1.5 && text.length <= FOLDED_LENGTH * 1.5) return text;
  const beginning = lines.slice(0, FOLDED_LINES).join('\n').slice(0, FOLDED_LENGTH);
  // Not within a word, if there is a gap near the end, and never within a surrogate pair.
  const gap = beginning.length < FOLDED_LENGTH ? -1 : beginning.search(/\s\S*$/);
  const cut = gap > FOLDED_LENGTH / 2 ? beginning.slice(0, gap) : beginning.replace(/[\ud800-\udbff]$/, '');
  return `${cut.trimEnd()} …`;
}

// A name without the control characters that set a direction: one that ends a direction would end that of the element.
export function shownName(name) {
  return name?.replace(/[\u202a-\u202e\u2066-\u2069]/g, '');
}

const LINK = /https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]]/gu;

// A text in pieces: { kind: 'text' | 'link' | 'mention', text }.
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
