// What the linter looks for: mistakes, not style. For static/ and tests/clients/; `npm run lint` runs it, then the type
// checker of tsconfig.json.

import js from '@eslint/js';
import reactHooks from 'eslint-plugin-react-hooks';
import globals from 'globals';

export default [
  { ignores: ['**/dist/', '**/node_modules/', '**/.venv/', '**/__generated__/'] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'array-callback-return': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-constructor-return': 'error',
      // mentions.js names single characters, those that combine with others included, and writes them as escapes.
      'no-misleading-character-class': 'off',
      'no-self-compare': 'error',
      'no-template-curly-in-string': 'error',
      'no-throw-literal': 'error',
      // To leave a property out is what the rest is for.
      'no-unused-vars': ['error', { ignoreRestSiblings: true }],
      'no-use-before-define': ['error', { functions: false, classes: false, variables: false }],
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': ['error', { destructuring: 'all' }],
    },
  },
  {
    files: ['**/app/**/*.{js,jsx}', '**/graphiql/**/*.js', '**/*.js'],
    languageOptions: { globals: globals.browser },
  },
  {
    files: ['**/app/**/*.{js,jsx}'],
    languageOptions: { parserOptions: { ecmaFeatures: { jsx: true } } },
    plugins: { 'react-hooks': reactHooks },
    // Not `exhaustive-deps`: the effects here list what they react to, not everything that they read.
    rules: { 'react-hooks/rules-of-hooks': 'error' },
  },
  {
    // Tests have functions, too, that run in a page of the browser.
    files: ['**/*.mjs'],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
];
