// What went wrong with an operation, as a code that the texts know, and what the server said about it.

// Codes after which the same operation may well succeed.
const PASSING = new Set(['UNREACHABLE', 'UNAVAILABLE', 'RATE_LIMITED']);

export class Problem extends Error {
  /**
   * @param {string} code
   * @param {{ message?: string, field?: string, retryAfterMs?: number, closeCode?: number }} [details] `closeCode` is that of
   *   the WebSocket, where the server closed it and graphql-ws gave up.
   */
  constructor(code, { message = code, field, retryAfterMs, closeCode } = {}) {
    super(message);
    this.code = code;
    this.field = field;
    this.retryAfterMs = retryAfterMs;
    this.closeCode = closeCode;
  }

  /**
   * From the `errors` of an answer; the first one decides.
   *
   * @param {readonly { message: string, extensions?: { code?: string, field?: string, retryAfterMs?: number } }[]} errors
   */
  static of([{ message, extensions = {} }]) {
    return new Problem(extensions.code ?? 'INTERNAL_SERVER_ERROR', { message, ...extensions });
  }

  get isPassing() {
    return PASSING.has(this.code);
  }
}
