/** Values of a network's named inputs: what the user gives, and what each sample takes of it. */
import { sizeOf } from './facts.js';

/** @typedef {import('./card.js').ModelCard} ModelCard */
/** @typedef {import('./card_facts.js').InputFacts} InputFacts */
/** @typedef {Float32Array | Int32Array | BigInt64Array} Values in the type of an input */
/** @typedef {Map<string, Values>} InputValues by the names of the inputs */
/** @typedef {Float32Array | Float64Array | Int32Array | BigInt64Array} Listed */

/**
 * What the user gives for an input: a number, which is broadcast; an array of the input's size, the same for all samples;
 * or entries, a list of such arrays (or of numbers, where the input is a number for each sample) or one array of several
 * times the size. Sample n takes entry n modulo their count, so neither the batch nor the first sample changes anything.
 * @typedef {number | bigint | Listed | readonly (number | bigint | Listed)[]} Given
 */

/** @typedef {{ count: number, values: Values }} Entries */

const LIMITS = { int32: 1n << 31n, int64: 1n << 63n };

/**
 * The entries of all conditions of a model.
 * @param {ModelCard} card
 * @param {Record<string, Given>} given
 * @param {boolean} [isWhole] whether every condition must be given
 * @returns {Map<string, Entries>}
 * @throws {RangeError} unless a model with this card takes these values
 */
export function entriesOf(card, given, isWhole = true) {
  const known = new Map([...card.inputs].filter(([, facts]) => facts.role === 'condition'));
  const unknown = Object.keys(given).find((name) => !known.has(name));
  if (unknown !== undefined) throw new RangeError(`the model has no input '${unknown.slice(0, 60)}' to be given; ${known.size ? `they are ${[...known.keys()].join(', ')}` : 'it has none'}`);
  const missing = [...known].find(([name]) => isWhole && given[name] === undefined);
  if (missing) throw new RangeError(`the model needs input '${missing[0]}', ${missing[1].dtype} [${missing[1].shape}] for each sample`);
  return new Map(Object.entries(given).map(([name, value]) => [name, entries(name, /** @type {InputFacts} */ (known.get(name)), value)]));
}

/**
 * What these samples take of each input, `[samples.length, ...shape]` each.
 * @param {Map<string, Entries>} all
 * @param {readonly bigint[]} samples
 * @returns {InputValues}
 */
export function inputsOf(all, samples) {
  return new Map([...all].map(([name, { count, values }]) => [name, gathered(values, count, samples.map((sample) => Number(sample % BigInt(count))))]));
}

/**
 * Some of the entries of an array of `count` entries.
 * @param {Values} values
 * @param {number} count
 * @param {readonly number[]} places
 * @returns {Values}
 */
export function gathered(values, count, places) {
  const size = values.length / count;
  const found = /** @type {any} */ (new /** @type {any} */ (values.constructor)(places.length * size));
  places.forEach((from, place) => found.set(values.subarray(from * size, (from + 1) * size), place * size));
  return found;
}

/**
 * One array after another of the same type.
 * @param {Values} first
 * @param {Values} second
 * @returns {Values}
 */
export function joined(first, second) {
  const both = new /** @type {any} */ (first.constructor)(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/**
 * @param {string} name
 * @param {InputFacts} facts
 * @param {Given} given
 * @returns {Entries}
 */
function entries(name, facts, given) {
  const size = sizeOf(facts.shape);
  const wanted = `a number, an array of ${size} numbers, or several of these`;
  const list = Array.isArray(given) ? given : [given];
  const parts = list.map((one) => {
    if (isNumber(one)) {
      // in a list, a number for an input with sides could be an entry or a part of one
      if (Array.isArray(given) && facts.shape.length) throw new RangeError(`input '${name}' must be ${wanted}; give [${facts.shape}] as a Float32Array`);
      return Array(size).fill(one);
    }
    if (!ArrayBuffer.isView(one) || one instanceof DataView) throw new RangeError(`input '${name}' must be ${wanted}`);
    const values = /** @type {Listed} */ (one);
    const whole = Array.isArray(given) ? values.length === size : values.length > 0 && values.length % size === 0;
    if (!whole) throw new RangeError(`input '${name}' has ${values.length} numbers, but must be ${wanted}`);
    return [...values];
  });
  const flat = /** @type {(number | bigint)[]} */ (parts.flat());
  if (!flat.length) throw new RangeError(`input '${name}' has no entry, but must be ${wanted}`);
  return { count: flat.length / size, values: typed(name, facts.dtype, flat) };
}

/**
 * @param {string} name
 * @param {InputFacts['dtype']} dtype
 * @param {readonly (number | bigint)[]} values
 * @returns {Values}
 */
function typed(name, dtype, values) {
  if (dtype === 'float32') {
    const found = Float32Array.from(values, Number);
    if (!found.every(Number.isFinite)) throw new RangeError(`input '${name}' must be of finite numbers that float32 can hold`);
    return found;
  }
  const limit = LIMITS[dtype];
  const holds = values.every((value) => (typeof value === 'bigint' || Number.isInteger(value)) && BigInt(value) >= -limit && BigInt(value) < limit);
  if (!holds) throw new RangeError(`input '${name}' must be of integers that ${dtype} can hold`);
  return dtype === 'int32' ? Int32Array.from(values, Number) : BigInt64Array.from(values, BigInt);
}

/**
 * @param {unknown} value
 * @returns {value is number | bigint}
 */
function isNumber(value) {
  return typeof value === 'number' || typeof value === 'bigint';
}
