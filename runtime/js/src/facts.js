/** Checks of values from the JSON of a card or a steps file, as runtime/ddpm_rt/artifacts/facts.py has them. */
import { quoted } from './errors.js';

/** @typedef {import('./json.js').Json} Json */
/** @typedef {{ [key: string]: Json }} JsonObject */

export const FLOAT32_MAX = 3.4028234663852886e38;
export const TEXT = 1000; // characters of one string
const MAX_SIDE = 65_536, MAX_ELEMENTS = 2 ** 26;

/** A fact that cannot be true. */
export class Wrong extends Error {}

/**
 * @param {boolean} holds
 * @param {string} key
 * @param {string} wanted
 * @param {unknown} found
 */
export function require(holds, key, wanted, found) {
  if (!holds) throw new Wrong(`${key} must be ${wanted}, not ${quoted(found)}`);
}

/**
 * @param {JsonObject} raw
 * @param {readonly string[]} keys
 * @param {string} prefix
 */
export function checkKeys(raw, keys, prefix) {
  const unknown = Object.keys(raw).filter((key) => !keys.includes(key)).sort();
  if (unknown.length) throw new Wrong(`unknown key ${quoted(prefix + unknown[0])}`);
  const missing = keys.filter((key) => !(key in raw)).sort();
  if (missing.length) throw new Wrong(`missing key '${prefix}${missing[0]}'`);
}

/**
 * @param {Json} raw
 * @param {readonly string[]} known
 * @param {string} key
 */
export function oneOf(raw, known, key) {
  require(typeof raw === 'string' && known.includes(raw), key, known.join(', '), raw);
  return /** @type {string} */ (raw);
}

/**
 * The sides of an array that a network can have.
 * @param {Json} raw
 * @param {string} key
 * @param {string} wanted
 * @param {number} least sides
 * @param {number} most sides
 * @returns {number[]}
 */
export function readSides(raw, key, wanted, least, most) {
  const listed = Array.isArray(raw) && raw.length >= least && raw.length <= most && raw.every((side) => isCount(side, 1, MAX_SIDE));
  const sides = listed ? raw.map(Number) : [];
  require(listed && sizeOf(sides) <= MAX_ELEMENTS, key, `${wanted}, of at most ${MAX_ELEMENTS} numbers`, raw);
  return sides;
}

/**
 * [low, high], which float32 can hold and tell apart, or null.
 * @param {Json} raw
 * @returns {[number, number] | null}
 */
export function readClip(raw) {
  if (raw === null) return null;
  const pair = Array.isArray(raw) && raw.length === 2 && raw.every(isNumber) ? raw.map(Number) : [0, 0];
  const [low, high] = pair;
  require(low >= -FLOAT32_MAX && high <= FLOAT32_MAX && Math.fround(low) < Math.fround(high), 'clip', '[low, high] in float32, or null', raw);
  return [low, high];
}

/**
 * How many numbers an array of these sides has; 1 without sides.
 * @param {readonly number[]} sides
 */
export function sizeOf(sides) {
  return sides.reduce((product, side) => product * side, 1);
}

/**
 * @param {Json} value
 * @returns {value is JsonObject}
 */
export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {Json} value */
export function isNumber(value) {
  return (typeof value === 'bigint' || typeof value === 'number') && Number.isFinite(Number(value));
}

/**
 * @param {Json} value
 * @param {number} least
 * @param {number} most
 */
export function isCount(value, least, most) {
  return typeof value === 'bigint' && value >= BigInt(least) && value <= BigInt(most);
}

/** @param {Json} value */
export function isText(value) {
  return typeof value === 'string' && [...value].length <= TEXT;
}
