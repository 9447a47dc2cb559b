// What the type checker cannot know from the code alone.

import 'preact/hooks';

declare global {
  interface Document {
    /** Ids are those of the page's own HTML: the code knows that the element is there, and what it is. */
    getElementById(id: string): any;
  }

  /** The pages have HTML and SVG elements only, and these can be focused. */
  interface Element {
    focus(options?: FocusOptions): void;
  }

  /** What GraphiQL's scripts define. They have no types of their own here. */
  interface Window {
    React: any;
    ReactDOM: any;
    GraphiQL: any;
    GraphiQLPluginExplorer: any;
  }
}

// What a component gets to know only later is `any`: `useState(null)` and `useState([])` before an answer, `useRef()` and
// `useRef(null)` before the element or the request.
declare module 'preact/hooks' {
  export function useState(initial: null): [any, Dispatch<any>];
  export function useState(initial: []): [any[], Dispatch<any>];
  export function useRef(initial?: null): MutableRef<any>;
}
