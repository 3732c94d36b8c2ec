/** The steps file, formats 1 and 2: a compiled step table for one model. Strict, as runtime/ddpm_rt/artifacts/steps_file.py is. */
import { DdpmRtError } from './errors.js';
import { FLOAT32_MAX, Wrong, checkKeys, isCount, isNumber, isObject, readClip } from './facts.js';
import { parseJson } from './json.js';

/** @typedef {import('./card.js').ModelCard} ModelCard */
/** @typedef {import('./facts.js').Json} Json */
/** @typedef {import('./facts.js').JsonObject} JsonObject */

/**
 * One row of coefficients for each reverse step, rounded to float32 once. runtime/ddpm_rt/samplers/table.py has the
 * two updates that they belong to.
 * @typedef {object} StepTable
 * @property {number} steps
 * @property {Float64Array} t the times given to the network; whole timesteps in format 1
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
 * @property {number} initialScale what the noise that the chain begins with is multiplied by; 1 for betas
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
const HEAD = ['format', 'sampler', 'card_sha256'], LAST = ['clip', 'classes', 'null_class', 'input_x', 'input_t', 'input_y'];
const TABLE = ['steps', 't', ...Object.keys(COLUMNS)];
/** The keys of each format. @type {Record<string, string[]>} */
const KEYS = {
  1: [...HEAD, 'channels', 'height', 'width', 'output_channels', ...LAST, 'output', ...TABLE],
  2: [...HEAD, 'shape', 'output_channels', ...LAST, 'inputs', 'output', 'initial_scale', ...TABLE],
};

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
  if (!isObject(raw) || typeof raw.format !== 'bigint' || !(String(raw.format) in KEYS)) {
    throw fail('not a steps file of format 1 or 2, which this release of ddpm-rt for JavaScript reads');
  }
  if (raw.card_sha256 !== card.sha256) {
    throw new DdpmRtError(`${source} was compiled for another model; write one for this with \`ddpm-rt steps\``);
  }
  try {
    return plan(raw, card);
  } catch (error) {
    if (error instanceof Wrong) throw fail(error.message);
    throw error;
  }
}

/**
 * The fitted table of the most network calls in a model, which `ddpm-rt sample --sampler fitted` takes as well.
 * @param {Map<number, string>} tables texts of steps files, by network calls
 * @param {ModelCard} card
 * @param {string} [model] part of a message
 * @returns {CompiledSampler}
 * @throws {DdpmRtError} if there is none, or it is damaged
 */
export function longestTable(tables, card, model = 'model') {
  if (!tables.size) throw new DdpmRtError(`${model} contains no fitted table; give a steps file, or run \`ddpm-rt tune\` with --embed`);
  const calls = Math.max(...tables.keys()), source = `the fitted table of ${calls} calls in ${model}`;
  const found = readSteps(/** @type {string} */ (tables.get(calls)), card, source);
  if (found.table.steps !== calls) throw new DdpmRtError(`${source} has ${found.table.steps} rows; embed it again`);
  return found;
}

/**
 * @param {JsonObject} raw
 * @param {ModelCard} card
 * @returns {CompiledSampler}
 */
function plan(raw, card) {
  if (raw.format === 1n && card.format !== 1) throw new Wrong('of format 1, which cannot describe this model');
  checkKeys(raw, KEYS[String(raw.format)], '');
  if (!isCount(raw.steps, 1, MAX_ROWS)) throw new Wrong(`steps must be a count up to ${MAX_ROWS}`);
  const steps = Number(raw.steps), sampler = raw.sampler;
  if (typeof sampler !== 'string' || /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(sampler)) throw new Wrong('sampler must be a line of text');
  const clip = readClip(raw.clip), initialScale = raw.format === 1n ? 1 : Number(raw.initial_scale);
  if (raw.format === 2n && !(fits(raw.initial_scale) && initialScale > 0)) throw new Wrong('initial_scale must be a number above 0');
  checkModel(raw, card);
  return { table: { steps, t: times(raw, steps, card), ...columns(raw, steps) }, clip, sampler, initialScale };
}

/**
 * The column t: whole timesteps in format 1, else whatever the process can tell.
 * @param {JsonObject} raw
 * @param {number} steps
 * @param {ModelCard} card
 */
function times(raw, steps, { process }) {
  const last = process.kind === 'betas' ? process.betas.length - 1 : Infinity, isWhole = raw.format === 1n;
  const t = raw.t;
  const known = (/** @type {Json} */ value) => (isWhole ? typeof value === 'bigint' : fits(value)) && (last === Infinity || (Number(value) >= 0 && Number(value) <= last));
  if (!Array.isArray(t) || t.length !== steps || !t.every(known)) {
    throw new Wrong(`t must be ${steps} ${isWhole ? 'integers' : 'numbers'}${last === Infinity ? ' that float32 can hold' : ` in [0, ${last}]`}`);
  }
  return Float64Array.from(t, Number);
}

/**
 * Whether float32 can hold a value.
 * @param {Json} value
 */
function fits(value) {
  return isNumber(value) && Math.abs(Number(value)) <= FLOAT32_MAX;
}

/**
 * @param {JsonObject} raw
 * @param {number} steps
 */
function columns(raw, steps) {
  const table = /** @type {Omit<StepTable, 't' | 'steps'>} */ ({});
  for (const [key, name] of Object.entries(COLUMNS)) {
    const values = raw[key];
    if (!Array.isArray(values) || values.length !== steps || !values.every(fits)) throw new Wrong(`${key} must be ${steps} numbers that float32 can hold`);
    table[name] = Float32Array.from(values, Number);
  }
  return table;
}

/**
 * @param {JsonObject} raw
 * @param {ModelCard} card
 */
function checkModel(raw, card) {
  const { names, imageShape } = card;
  /** @type {JsonObject} */
  const wanted = {
    output_channels: card.outputChannels,
    classes: card.classes,
    null_class: card.nullClass,
    input_x: names.x,
    input_t: names.t,
    input_y: names.y ?? null,
    output: names.out,
  };
  if (raw.format === 1n) [wanted.channels, wanted.height, wanted.width] = imageShape;
  else Object.assign(wanted, { shape: imageShape, inputs: listed(card) });
  /** @type {JsonObject} */
  const given = { ...raw, inputs: inOrder(raw.inputs) };
  for (const [key, value] of Object.entries(wanted)) if (!isSame(given[key], value)) throw new Wrong(`${key} is not the model's`);
}

/**
 * The inputs of a card, as a steps file lists them.
 * @param {ModelCard} card
 * @returns {Json}
 */
function listed({ inputs }) {
  return [...inputs].map(([name, { dtype, shape, role }]) => ({ name, dtype, shape, role }));
}

/**
 * A list of inputs in the order in which JavaScript keeps names: names that are integers come first.
 * @param {Json} inputs
 * @returns {Json}
 */
function inOrder(inputs) {
  if (!Array.isArray(inputs) || !inputs.every(isObject)) return inputs;
  const byName = Object.fromEntries(inputs.map((one) => [String(one.name), one]));
  return Object.keys(byName).length === inputs.length ? Object.values(byName) : inputs;
}

/**
 * Whether a value of a file is the one that the card has; a file's integers are of type BigInt.
 * @param {Json} found
 * @param {Json} value
 * @returns {boolean}
 */
function isSame(found, value) {
  if (Array.isArray(value)) return Array.isArray(found) && found.length === value.length && found.every((part, place) => isSame(part, value[place]));
  if (isObject(value)) {
    const keys = Object.keys(value);
    return isObject(found) && Object.keys(found).length === keys.length && keys.every((key) => isSame(found[key], value[key]));
  }
  return found === (typeof value === 'number' ? BigInt(value) : value);
}
