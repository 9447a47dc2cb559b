// Folding of texts, mentions and links.

import assert from 'node:assert/strict';
import test from 'node:test';
import { mentionsIn } from '../app/data/mentions.js';
import { beginningOf, piecesOf, shownName } from '../app/data/text.js';

const lines = (number) => Array.from({ length: number }, (_, index) => `line ${index}`).join('\n');

test('a text below 1.5 times the limits is not folded', () => {
  for (const text of ['', 'a', lines(24), 'a '.repeat(1_200)]) assert.equal(beginningOf(text), text);
});

test('a long text is folded at a line, a word or a character', () => {
  assert.equal(beginningOf(lines(12_000)), `${lines(16)} …`);
  const words = beginningOf('word '.repeat(7_000));
  assert.ok(words.endsWith('word …') && words.length < 1_610, words.slice(-20));
  const emoji = beginningOf(`a${'😀'.repeat(5_000)}`);
  assert.ok(emoji.isWellFormed() && emoji.length < 1_610);
  assert.ok(beginningOf('x'.repeat(40_000)).length < 1_610);
});

test('control characters for the text direction are removed from names', () => {
  assert.equal(shownName('\u202eava\u2069 \u2066x'), 'ava x');
  assert.equal(shownName('שלום'), 'שלום');
  assert.equal(shownName(undefined), undefined);
});

// The texts of the server's test in src/unicode/mentions.rs: the client must highlight the mentions that the server
// finds.
const MENTIONS = [
  ['@Ann, (@bob) and @c.d-e_f.', ['@Ann', '@bob', '@c.d-e_f']],
  ['@ and @@zoë!', ['@zoë']],
  ['\uff20eva \ufe6bben', ['\uff20eva', '\ufe6bben']],
  ['@eva/@ben', ['@eva', '@ben']],
  ['.@eva, _@eva_ and -@eva-', ['@eva', '@eva', '@eva']],
  ["@eva's @eva... @eva: @eva?", ['@eva', '@eva', '@eva', '@eva']],
  ['@zoe\u0308 @ZOË @ＥＶＡ @हिन्दी', ['@zoe\u0308', '@ZOË', '@ＥＶＡ', '@हिन्दी']],
  ['您好@eva您好', ['@eva']],
  ['@eva님이', ['@eva']],
  ['@田中ok', ['@田中']],
  ['@eva.Please', ['@eva']],
  ['@eva.b', ['@eva.b']],
  ['` @zoe', ['@zoe']],
  ['\\`@zoe`', ['@zoe']],
  ['`x` @zoe', ['@zoe']],
  ['``x` @zoe', ['@zoe']],
  ['a ``` @zoe', ['@zoe']],
  ['```\n@zoe\n``` and @ben', ['@ben']],
];
const NO_MENTIONS = [
  'ann@example.org', 'john_@example.org', 'a+@b', 'https://blog.example/@zoe/post', 'https://blog.example/?by=@zoe',
  '(https://blog.example/@zoe)', 'www.blog.example/@zoe', 'blog.example/@zoe', 'mailto:@zoe', 'npm i @zoe/core', '@zoe@example.social',
  '@', '@.', '@-_', '`@zoe`', '``a ` @zoe``', '```\n@zoe\n```', 'see\n```js\n@zoe', 'a `x` b `@zoe` c', '@\u3164\u115f',
];
const marked = (text) => mentionsIn(text).map(({ start, end }) => text.slice(start, end));

test('the client finds the same mentions as the server', () => {
  for (const [text, expected] of MENTIONS) assert.deepEqual(marked(text), expected, text);
  for (const text of NO_MENTIONS) assert.deepEqual(marked(text), [], text);
});

test('hostile texts are parsed without quadratic time', () => {
  const runs = Array.from({ length: 280 }, (_, length) => '`'.repeat(length)).join(' ');
  assert.deepEqual(marked(`${runs} @zoe`), ['@zoe']);
  for (const text of ['@'.repeat(40_000), '@a'.repeat(20_000), '``` '.repeat(10_000), '@.'.repeat(20_000), '\u0300'.repeat(40_000)]) {
    assert.deepEqual(marked(text), [], text.slice(0, 4));
  }
});

test('the pieces of a text add up to the text', () => {
  const text = 'See https://a.example/@zoe (or ask @eva), `@ben` 😀';
  const pieces = piecesOf(text);
  assert.equal(pieces.map(({ text }) => text).join(''), text);
  assert.deepEqual(pieces.filter(({ kind }) => kind !== 'text').map(({ kind, text }) => [kind, text]),
    [['link', 'https://a.example/@zoe'], ['mention', '@eva']]);
  assert.deepEqual(piecesOf(''), []);
});
