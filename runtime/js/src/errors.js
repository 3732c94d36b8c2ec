/** The error for files and machines: "what is wrong; what to do". A mistake of the caller is a RangeError or a TypeError. */
export class DdpmRtError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = 'DdpmRtError';
  }
}

const QUOTE = 60; // characters of a value that a message quotes

/**
 * A little of a value, as one printable line.
 * @param {unknown} value
 * @returns {string}
 */
export function quoted(value) {
  let text;
  try {
    text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? String(part) : part)) ?? String(value));
  } catch {
    text = typeof value;
  }
  const line = text.replace(/[^\x20-\x7e]/gu, (char) => `\\u{${/** @type {number} */ (char.codePointAt(0)).toString(16)}}`);
  return line.length <= QUOTE ? line : `${line.slice(0, QUOTE - 25)} ... ${line.slice(-20)}`;
}
