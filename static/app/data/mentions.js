// Finds the mentions in a text, so that the page highlights those for which the server sends notifications. The rule is
// in docs/names.md and src/unicode/mentions.rs. A mention can have several possible ends. The server knows all
// usernames and takes the longest possible name that exists. This module does not know them and takes the shortest
// possible name.

// The signs that begin a mention: @ (ASCII), full-width @ and small @.
const SIGN = /[@\uff20\ufe6b]/g;

// Characters that Unicode classes as letters or marks, but that have no visible shape.
const BLANK = '\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0\\u{e0000}-\\u{e0fff}';
const NOT_BLANK = `(?![${BLANK}])`;
const WORD = `(?:${NOT_BLANK}[\\p{L}\\p{M}\\p{N}])`;
const LETTER_OR_DIGIT = new RegExp(`${NOT_BLANK}[\\p{L}\\p{N}]`, 'u');

// Scripts without spaces between words, or with suffixes directly after a name.
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

const NAME = new RegExp(`^(?:${WORD}|[\\u200c\\u200d._-])*`, 'u');
const OPENING = new RegExp(`^(?:(?!${NOT_BLANK}[\\p{L}\\p{N}])[^@\\uff20\\ufe6b])*`, 'u');
const ENDS_WITH_WORD = new RegExp(`${WORD}$`, 'u');

// After the name: what makes it a package (`@eva/core`) or an account on another server (`@eva@example.org`).
const GOES_ON = new RegExp(`^[/@]${WORD}`, 'u');

/**
 * The mentions in a text as `{ start, end }`, in order. A range includes the sign.
 *
 * @param {string} text
 */
export function mentionsIn(text) {
  const code = codeSpans(text).reverse();
  const isCode = (at) => {
    while (code.length && code.at(-1).end <= at) code.pop();
    return code.length > 0 && code.at(-1).start <= at;
  };
  const found = [];
  for (const { 0: token, index: start } of text.matchAll(/\S+/gu)) {
    const parts = partsOf(token);
    for (const { index: at } of token.matchAll(SIGN)) {
      if (isCode(start + at) || isPartOfMore(token, parts, at)) continue;
      const rest = token.slice(at + 1);
      const name = NAME.exec(rest)?.[0] ?? '';
      if (GOES_ON.test(rest.slice(name.length))) continue;
      const shown = shortest(name);
      if (shown) found.push({ start: start + at, end: start + at + 1 + shown.length });
    }
  }
  return found;
}

function partsOf(token) {
  const opening = token.replace(OPENING, '');
  const isAddress = opening.startsWith('www.') || opening.startsWith('mailto:');
  const scheme = token.indexOf('://');
  return { address: isAddress ? 0 : scheme < 0 ? token.length : scheme, beginsWithSign: opening.search(SIGN) === 0 };
}

// Whether the sign at index `at` belongs to an address or to a word, and begins no mention.
function isPartOfMore(token, { address, beginsWithSign }, at) {
  if (at >= address) return true;
  // "@eva/@ben" are two people; "blog.example/@eva" is a page.
  if (token[at - 1] === '/') return !beginsWithSign;
  let end = at;
  while ('._+-'.includes(token[end - 1] ?? ' ')) end -= 1;
  const last = ENDS_WITH_WORD.exec(token.slice(Math.max(0, end - 2), end))?.[0];
  return last !== undefined && !UNSPACED.test(last);
}

// Cuts a run of name characters to the shortest possible name. It removes punctuation at the end, a sentence that
// begins after a full stop, and text of a script without spaces. Returns '' if the run is not a name.
function shortest(name) {
  const bare = name.replace(/[._-]+$/, '');
  if (!LETTER_OR_DIGIT.test(bare)) return '';
  const ends = [bare.length];
  const sentence = bare.search(/\.\p{Lu}/u);
  if (sentence >= 0) ends.push(sentence);
  const [first] = bare;
  const isUnspaced = UNSPACED.test(first);
  let at = first.length;
  for (const letter of bare.slice(at)) {
    if (LETTER_OR_DIGIT.test(letter) && UNSPACED.test(letter) !== isUnspaced) {
      ends.push(at);
      break;
    }
    at += letter.length;
  }
  return bare.slice(0, Math.min(...ends)).replace(/[._-]+$/, '') || bare;
}

// The ranges of a text that are code: between two runs of equally many backticks. An unclosed run of three or more at
// the beginning of a line reaches to the end of the text.
function codeSpans(text) {
  const runs = [...text.matchAll(/`+/g)].map(({ 0: { length }, index }) => ({ index, length }));
  // By length: the indexes of the runs that have not been passed, the nearest one last.
  const coming = new Map();
  runs.forEach(({ length }, number) => {
    if (!coming.has(length)) coming.set(length, []);
    coming.get(length).push(number);
  });
  for (const numbers of coming.values()) numbers.reverse();
  const spans = [];
  for (let number = 0; number < runs.length; number += 1) {
    const { index, length } = runs[number];
    if (text[index - 1] === '\\') continue;
    const same = coming.get(length);
    while (same.at(-1) <= number) same.pop();
    const close = same.at(-1);
    if (close !== undefined) {
      spans.push({ start: index, end: runs[close].index + length });
      number = close;
    } else if (length >= 3 && beginsLine(text, index)) {
      spans.push({ start: index, end: text.length });
      break;
    }
  }
  return spans;
}

function beginsLine(text, index) {
  let before = index - 1;
  while (text[before] === ' ' || text[before] === '\t') before -= 1;
  return before < 0 || text[before] === '\n';
}
