/** Where scripts/js_files.py wrote what the tests compare with Python; scripts/js_test.sh says it. */
import { readFile } from 'node:fs/promises';

const FILES = process.env.DDPM_RT_JS_FILES;

/** @param {string} name */
export function fileOf(name) {
  if (FILES === undefined) throw new Error('DDPM_RT_JS_FILES must name the folder of scripts/js_files.py');
  return `${FILES}/${name}`;
}

/** @param {string} name */
export async function readFloats(name) {
  const bytes = await readFile(fileOf(name));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** @param {string} name */
export async function readAsJson(name) {
  return JSON.parse(await readFile(fileOf(name), 'utf8'));
}

/**
 * The values of named inputs of cases.json, where an array is a list of its entries, for `Sampler.sample`.
 * @param {Record<string, any> | undefined} given
 */
export function inputsOf(given = {}) {
  const entry = (/** @type {any} */ one) => (Array.isArray(one) ? Float32Array.from(one.flat(Infinity)) : one);
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, Array.isArray(value) ? value.map(entry) : value]));
}

/**
 * The largest difference.
 * @param {Float32Array} found
 * @param {Float32Array} expected
 */
export function distance(found, expected) {
  if (found.length !== expected.length) return Infinity;
  return found.reduce((most, value, i) => Math.max(most, Number.isNaN(value) ? Infinity : Math.abs(value - expected[i])), 0);
}
