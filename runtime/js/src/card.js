/** The model card, format 1: the facts about a denoiser. Strict, as runtime/ddpm_rt/artifacts/card.py is. */
import { DdpmRtError, quoted } from './errors.js';
import { parseJson } from './json.js';
import { sha256 } from './sha256.js';

/** @typedef {import('./json.js').Json} Json */
/** @typedef {{ [key: string]: Json }} JsonObject */

/**
 * @typedef {object} ModelCard
 * @property {[number, number, number]} imageShape C, H, W
 * @property {Float64Array} betas
 * @property {'eps' | 'x0' | 'v'} prediction
 * @property {'fixed_small' | 'fixed_large' | 'learned' | 'learned_range'} variance
 * @property {[number, number] | null} clip
 * @property {string} spacing
 * @property {number | null} classes
 * @property {number | null} nullClass
 * @property {{ x: string, t: string, out: string, y?: string }} names of the graph's tensors
 * @property {string} precision
 * @property {JsonObject} provenance
 * @property {number} outputChannels the image's, and as many again if the variance is learned
 * @property {string} sha256 of the card's text
 */

export const FLOAT32_MAX = 3.4028234663852886e38;
const MAX_SIDE = 65_536, MAX_ELEMENTS = 2 ** 26, MAX_CLASSES = 2 ** 31 - 1, TEXT = 1000, ENTRIES = 100;
export const MAX_TIMESTEPS = 65_536;
const PREDICTIONS = ['eps', 'x0', 'v'];
const VARIANCES = ['fixed_small', 'fixed_large', 'learned', 'learned_range'];
const SPACINGS = ['trailing', 'leading', 'linspace', 'logsnr'];
const KEYS = ['image_shape', 'betas', 'prediction', 'variance', 'clip', 'spacing', 'classes', 'null_class', 'names', 'precision', 'provenance'];
const PROVENANCE = ['source', 'weights_sha256', 'versions', 'parity'];

/** The reader of each format. @type {Record<string, (raw: JsonObject) => Omit<ModelCard, 'sha256'>>} */
const FORMATS = { 1: format1 };

/**
 * @param {string} text
 * @param {string} [source] the start of a message
 * @returns {ModelCard}
 * @throws {DdpmRtError} for anything but a whole card
 */
export function readCard(text, source = 'card') {
  const fail = (/** @type {string} */ reason) => new DdpmRtError(`${source}: ${reason}; export the model again`);
  let raw;
  try {
    raw = parseJson(text);
  } catch (error) {
    throw fail(`the model card cannot be read: ${/** @type {Error} */ (error).message}`);
  }
  const read = isObject(raw) && typeof raw.format === 'bigint' ? FORMATS[String(raw.format)] : undefined;
  if (!isObject(raw) || read === undefined) throw fail(`not a model card of format ${Object.keys(FORMATS).join(' or ')}, which this release of ddpm-rt for JavaScript reads`);
  try {
    const { format, ...facts } = raw;
    return { ...read(facts), sha256: sha256(text) };
  } catch (error) {
    if (error instanceof Wrong) throw fail(`the model card is wrong: ${error.message}`);
    throw error;
  }
}

/** A fact that cannot be true. */
export class Wrong extends Error {}

/**
 * @param {JsonObject} raw
 * @returns {Omit<ModelCard, 'sha256'>}
 */
function format1(raw) {
  checkProvenance(raw.provenance);
  checkKeys(raw, KEYS, '');
  const { classes, null_class: nullClass } = raw;
  const imageShape = readShape(raw.image_shape);
  const variance = oneOf(raw.variance, VARIANCES, 'variance');
  require(classes === null || isCount(classes, 1, MAX_CLASSES), 'classes', `a count up to ${MAX_CLASSES}, or null`, classes);
  const known = nullClass === null || (classes !== null && isCount(nullClass, 0, Number(classes) - 1));
  require(known, 'null_class', 'one of the classes or null', nullClass);
  require(isText(raw.precision), 'precision', `a string of at most ${TEXT} characters`, raw.precision);
  return {
    imageShape,
    betas: readBetas(raw.betas),
    prediction: /** @type {ModelCard['prediction']} */ (oneOf(raw.prediction, PREDICTIONS, 'prediction')),
    variance: /** @type {ModelCard['variance']} */ (variance),
    clip: readClip(raw.clip),
    spacing: oneOf(raw.spacing, SPACINGS, 'spacing'),
    classes: classes === null ? null : Number(classes),
    nullClass: nullClass === null ? null : Number(nullClass),
    names: readNames(raw.names, classes !== null),
    precision: /** @type {string} */ (raw.precision),
    provenance: /** @type {JsonObject} */ (raw.provenance),
    outputChannels: imageShape[0] * (variance.startsWith('learned') ? 2 : 1),
  };
}

/** @param {Json} raw */
function checkProvenance(raw) {
  if (!isObject(raw)) throw new Wrong("missing key 'provenance'");
  checkKeys(raw, PROVENANCE, 'provenance.');
  for (const key of ['versions', 'parity']) {
    const entries = raw[key];
    const fits = isObject(entries) && Object.keys(entries).length <= ENTRIES && Object.keys(entries).every(isText);
    require(fits, key, `an object of at most ${ENTRIES} keys`, entries);
  }
  const texts = { source: raw.source, weights_sha256: raw.weights_sha256, .../** @type {JsonObject} */ (raw.versions) };
  for (const [key, text] of Object.entries(texts)) require(isText(text), key, `a string of at most ${TEXT} characters`, text);
  for (const [key, number] of Object.entries(/** @type {JsonObject} */ (raw.parity))) {
    require(isNumber(number), `parity.${key}`, 'a finite number', number);
  }
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
 * @returns {[number, number, number]}
 */
function readShape(raw) {
  const counts = Array.isArray(raw) && raw.length === 3 && raw.every((side) => isCount(side, 1, MAX_SIDE));
  const shape = counts ? raw.map(Number) : [];
  require(counts && shape[0] * shape[1] * shape[2] <= MAX_ELEMENTS, 'image_shape', `[C, H, W] of at most ${MAX_ELEMENTS} numbers`, raw);
  return /** @type {[number, number, number]} */ (shape);
}

/** @param {Json} raw */
function readBetas(raw) {
  const listed = Array.isArray(raw) && raw.length <= MAX_TIMESTEPS && raw.every(isNumber);
  require(listed, 'betas', `a list of at most ${MAX_TIMESTEPS} numbers`, raw);
  const betas = Float64Array.from(/** @type {Json[]} */ (raw), Number);
  const inside = betas.length > 1 && betas[betas.length - 1] === 1 ? betas.subarray(0, -1) : betas;
  if (!betas.length || !inside.every((beta) => beta > 0 && beta < 1)) {
    throw new Wrong('betas must be a non-empty 1-D array with every value inside (0, 1); the last may be 1');
  }
  return betas;
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
 * @param {Json} raw
 * @param {boolean} labelled
 * @returns {ModelCard['names']}
 */
function readNames(raw, labelled) {
  const wanted = labelled ? ['out', 't', 'x', 'y'] : ['out', 't', 'x'];
  const named = isObject(raw) && Object.values(raw).every(isText) && Object.keys(raw).sort().join() === wanted.join();
  require(named, 'names', `names of ${wanted}`, raw);
  return /** @type {ModelCard['names']} */ (/** @type {unknown} */ (raw));
}

/**
 * @param {Json} raw
 * @param {readonly string[]} known
 * @param {string} key
 */
function oneOf(raw, known, key) {
  require(typeof raw === 'string' && known.includes(raw), key, known.join(', '), raw);
  return /** @type {string} */ (raw);
}

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
function isText(value) {
  return typeof value === 'string' && [...value].length <= TEXT;
}
