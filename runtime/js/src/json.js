/**
 * A strict reader of JSON within limits, for files that come from elsewhere. `JSON.parse` rounds integers from 2^53 on and
 * accepts a key that is there twice. Here an integer becomes a BigInt, so that `3` and `3.0` differ, as they do in Python.
 *
 * The limits are those of runtime/ddpm_rt/artifacts/bounded_read.py.
 */
import { quoted } from './errors.js';

export const TEXT_BYTES = 16 * 2 ** 20;
const NESTING = 64, DIGITS = 100, KEYS = 20_000;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const STRING = /"[^"\\\u0000-\u001f]*(?:\\.[^"\\\u0000-\u001f]*)*"/y;
const SPACE = /[ \t\n\r]*/y;
const LONG_NUMBER = new RegExp(`[0-9]{${DIGITS + 1}}`, 'y');
/** @type {Record<string, null | boolean>} */
const WORDS = { null: null, true: true, false: false };

/** @typedef {null | boolean | bigint | number | string | any[] | { [key: string]: any }} Json The parts of lists and objects are Json too */

/**
 * The value of a JSON text; objects have no prototype.
 * @param {string} text
 * @returns {Json}
 * @throws {SyntaxError} in one short line, for a text that is no JSON, has a key twice, or exceeds a limit
 */
export function parseJson(text) {
  if (text.length > TEXT_BYTES) throw new SyntaxError(`longer than the limit of ${TEXT_BYTES / 2 ** 20} MiB`);
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.space();
  if (reader.at !== text.length) throw reader.error('more text after its end');
  return value;
}

class Reader {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.keys = 0;
  }

  /** @param {string} reason */
  error(reason) {
    return new SyntaxError(`not JSON: ${reason} at character ${this.at}`);
  }

  /** @param {RegExp} pattern sticky */
  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found !== null) this.at = pattern.lastIndex;
    return found;
  }

  space() {
    this.match(SPACE);
  }

  /** @param {string} char */
  takes(char) {
    this.space();
    if (this.text[this.at] !== char) return false;
    this.at += 1;
    return true;
  }

  /**
   * @param {number} depth
   * @returns {Json}
   */
  value(depth) {
    if (depth > NESTING) throw new SyntaxError(`nested deeper than ${NESTING} levels`);
    if (this.takes('{')) return this.object(depth);
    if (this.takes('[')) return this.list(depth);
    if (this.text[this.at] === '"') return this.string();
    for (const [word, value] of Object.entries(WORDS)) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  number() {
    LONG_NUMBER.lastIndex = this.at + (this.text[this.at] === '-' ? 1 : 0);
    if (LONG_NUMBER.test(this.text)) throw new SyntaxError(`a number has more than ${DIGITS} digits`);
    const found = this.match(NUMBER);
    if (found === null) throw this.error('no value');
    if (found[0].length > 2 * DIGITS) throw new SyntaxError(`a number has more than ${DIGITS} digits`);
    return found[1] === undefined && found[2] === undefined ? BigInt(found[0]) : Number(found[0]);
  }

  string() {
    const found = this.match(STRING);
    if (found === null) throw this.error('a string without an end');
    let value;
    try {
      value = /** @type {string} */ (JSON.parse(found[0]));
    } catch {
      throw this.error('a wrong escape');
    }
    if (/[\ud800-\udfff]/u.test(value)) throw new SyntaxError(`a lone surrogate in ${quoted(value)}`);
    return value;
  }

  /** @param {number} depth */
  list(depth) {
    /** @type {Json[]} */
    const values = [];
    if (this.takes(']')) return values;
    do values.push(this.value(depth + 1));
    while (this.takes(','));
    if (!this.takes(']')) throw this.error("no ',' or ']'");
    return values;
  }

  /** @param {number} depth */
  object(depth) {
    /** @type {{ [key: string]: Json }} */
    const values = Object.create(null);
    if (this.takes('}')) return values;
    do {
      this.space();
      if (this.text[this.at] !== '"') throw this.error('no key');
      const key = this.string();
      if (!this.takes(':')) throw this.error("no ':'");
      this.keys += 1;
      if (this.keys > KEYS) throw new SyntaxError(`more than ${KEYS} keys`);
      if (key in values) throw new SyntaxError(`key ${quoted(key)} is there twice`);
      values[key] = this.value(depth + 1);
    } while (this.takes(','));
    if (!this.takes('}')) throw this.error("no ',' or '}'");
    return values;
  }
}
