// Declarations that the type checker cannot derive from the code.

import 'preact/hooks';

declare global {
  interface Document {
    /** The ids are in the HTML of the page, so the element exists and its type is known. */
    getElementById(id: string): any;
  }

  /** The pages have only HTML and SVG elements, and both can be focused. */
  interface Element {
    focus(options?: FocusOptions): void;
  }

  /** Globals that the scripts of GraphiQL define. They have no type declarations. */
  interface Window {
    React: any;
    ReactDOM: any;
    GraphiQL: any;
    GraphiQLPluginExplorer: any;
  }
}

// An initial value of null, [] or undefined does not give the type of the later value. Such states and refs are `any`.
declare module 'preact/hooks' {
  export function useState(initial: null): [any, Dispatch<any>];
  export function useState(initial: []): [any[], Dispatch<any>];
  export function useRef(initial?: null): MutableRef<any>;
}
