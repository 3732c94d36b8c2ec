/** The steps file, format 1: a compiled step table for one model. Strict, as runtime/ddpm_rt/artifacts/steps_file.py is. */
import { FLOAT32_MAX, MAX_TIMESTEPS, Wrong, checkKeys, isCount, isNumber, isObject, readClip } from './card.js';
import { DdpmRtError } from './errors.js';
import { parseJson } from './json.js';

/** @typedef {import('./card.js').ModelCard} ModelCard */
/** @typedef {import('./card.js').JsonObject} JsonObject */

/**
 * One row of coefficients for each reverse step, rounded to float32 once. runtime/ddpm_rt/samplers/table.py has the
 * two updates that they belong to.
 * @typedef {object} StepTable
 * @property {number} steps
 * @property {Float64Array} t the timesteps given to the network, whole numbers
 * @property {Float32Array} x0FromX
 * @property {Float32Array} x0FromOut
 * @property {Float32Array} meanFromX0
 * @property {Float32Array} meanFromX
 * @property {Float32Array} meanFromOut
 * @property {Float32Array} meanFromPrevX0
 * @property {Float32Array} sigma
 * @property {Float32Array} logSigmaFromSpread
 */

/**
 * @typedef {object} CompiledSampler
 * @property {StepTable} table
 * @property {[number, number] | null} clip the range that x0 is clipped to
 * @property {string} sampler a description for people
 */

const AGAIN = 'write it again with `ddpm-rt steps`';
const MAX_ROWS = 1_000_000;
const COLUMNS = /** @type {const} */ ({
  x0_from_x: 'x0FromX',
  x0_from_out: 'x0FromOut',
  mean_from_x0: 'meanFromX0',
  mean_from_x: 'meanFromX',
  mean_from_out: 'meanFromOut',
  mean_from_prev_x0: 'meanFromPrevX0',
  sigma: 'sigma',
  log_sigma_from_spread: 'logSigmaFromSpread',
});
const FACTS = [
  ...['format', 'sampler', 'card_sha256', 'channels', 'height', 'width', 'output_channels', 'clip', 'classes'],
  ...['null_class', 'input_x', 'input_t', 'input_y', 'output', 'steps'],
];
const KEYS = [...FACTS, 't', ...Object.keys(COLUMNS)];

/** The reader of each format. @type {Record<string, (raw: JsonObject, card: ModelCard) => CompiledSampler>} */
const FORMATS = { 1: format1 };

/**
 * @param {string} text of a steps file
 * @param {ModelCard} card of the model that it must be compiled for
 * @param {string} [source] the start of a message
 * @returns {CompiledSampler}
 * @throws {DdpmRtError} for another model's, and for anything but a whole file
 */
export function readSteps(text, card, source = 'steps file') {
  const fail = (/** @type {string} */ reason) => new DdpmRtError(`${source}: ${reason}; ${AGAIN}`);
  let raw;
  try {
    raw = parseJson(text);
  } catch (error) {
    throw fail(`not a whole steps file (${/** @type {Error} */ (error).message})`);
  }
  const read = isObject(raw) && typeof raw.format === 'bigint' ? FORMATS[String(raw.format)] : undefined;
  if (!isObject(raw) || read === undefined) throw fail(`not a steps file of format ${Object.keys(FORMATS).join(' or ')}, which this release of ddpm-rt for JavaScript reads`);
  if (raw.card_sha256 !== card.sha256) {
    throw new DdpmRtError(`${source} was compiled for another model; write one for this with \`ddpm-rt steps\``);
  }
  try {
    return read(raw, card);
  } catch (error) {
    if (error instanceof Wrong) throw fail(error.message);
    throw error;
  }
}

/**
 * @param {JsonObject} raw
 * @param {ModelCard} card
 * @returns {CompiledSampler}
 */
function format1(raw, card) {
  checkKeys(raw, KEYS, '');
  if (!isCount(raw.steps, 1, MAX_ROWS)) throw new Wrong(`steps must be a count up to ${MAX_ROWS}`);
  const steps = Number(raw.steps), sampler = raw.sampler;
  if (typeof sampler !== 'string' || /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(sampler)) throw new Wrong('sampler must be a line of text');
  const clip = readClip(raw.clip);
  checkModel(raw, card);
  return { table: { steps, t: timesteps(raw, steps, card), ...columns(raw, steps) }, clip, sampler };
}

/**
 * @param {JsonObject} raw
 * @param {number} steps
 * @param {ModelCard} card
 */
function timesteps(raw, steps, card) {
  const last = Math.min(card.betas.length, MAX_TIMESTEPS) - 1;
  const t = raw.t;
  if (!Array.isArray(t) || t.length !== steps || !t.every((value) => isCount(value, 0, last))) {
    throw new Wrong(`t must be ${steps} integers in [0, ${last}]`);
  }
  return Float64Array.from(t, Number);
}

/**
 * @param {JsonObject} raw
 * @param {number} steps
 */
function columns(raw, steps) {
  const table = /** @type {Omit<StepTable, 't' | 'steps'>} */ ({});
  for (const [key, name] of Object.entries(COLUMNS)) {
    const values = raw[key];
    const fits = Array.isArray(values) && values.length === steps && values.every((value) => isNumber(value) && Math.abs(Number(value)) <= FLOAT32_MAX);
    if (!fits) throw new Wrong(`${key} must be ${steps} numbers that float32 can hold`);
    table[name] = Float32Array.from(/** @type {import('./json.js').Json[]} */ (values), Number);
  }
  return table;
}

/**
 * @param {JsonObject} raw
 * @param {ModelCard} card
 */
function checkModel(raw, card) {
  const [channels, height, width] = card.imageShape;
  /** @type {Record<string, number | string | null>} */
  const wanted = {
    channels,
    height,
    width,
    output_channels: card.outputChannels,
    classes: card.classes,
    null_class: card.nullClass,
    input_x: card.names.x,
    input_t: card.names.t,
    input_y: card.names.y ?? null,
    output: card.names.out,
  };
  for (const [key, value] of Object.entries(wanted)) {
    if (raw[key] !== (typeof value === 'number' ? BigInt(value) : value)) throw new Wrong(`${key} is not the model's`);
  }
}
