// The error of an operation: a code that texts.js may translate, and the message of the server.

// Codes of temporary errors: the same operation may succeed later.
const TEMPORARY = new Set(['UNREACHABLE', 'UNAVAILABLE', 'RATE_LIMITED']);

export class Problem extends Error {
  /**
   * @param {string} code
   * @param {{ message?: string, field?: string, retryAfterMs?: number, closeCode?: number }} [details] `closeCode` is the
   *   close code of the WebSocket if the server closed it and graphql-ws does not reconnect.
   */
  constructor(code, { message = code, field, retryAfterMs, closeCode } = {}) {
    super(message);
    this.code = code;
    this.field = field;
    this.retryAfterMs = retryAfterMs;
    this.closeCode = closeCode;
  }

  /**
   * Converts the `errors` of an answer. Only the first one counts.
   *
   * @param {readonly { message: string, extensions?: { code?: string, field?: string, retryAfterMs?: number } }[]} errors
   */
  static of([{ message, extensions = {} }]) {
    return new Problem(extensions.code ?? 'INTERNAL_SERVER_ERROR', { message, ...extensions });
  }

  get isTemporary() {
    return TEMPORARY.has(this.code);
  }
}
