// ESLint rules for static/, tests/clients/ and tests/identity-provider/. They find mistakes, not style. `npm run lint` runs ESLint and then the
// type checker with tsconfig.json.

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
      // The character classes of mentions.js contain combining characters on purpose, as escapes.
      'no-misleading-character-class': 'off',
      'no-self-compare': 'error',
      'no-template-curly-in-string': 'error',
      'no-throw-literal': 'error',
      // `const { unwanted, ...rest } = object` leaves a property out.
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
    // Without `exhaustive-deps`: the dependencies of an effect are the values it reacts to, not all that it reads.
    rules: { 'react-hooks/rules-of-hooks': 'error' },
  },
  {
    // Some functions of the tests run in a page of the browser.
    files: ['**/*.mjs'],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
];
