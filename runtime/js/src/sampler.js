/** Samples of a model: the one object that a program needs. */
import { conditioned } from './conditioned.js';
import { DdpmRtError } from './errors.js';
import { sizeOf } from './facts.js';
import { trajectory } from './host_loop.js';
import { entriesOf, inputsOf } from './inputs.js';
import { checkGuidance, labelsOf } from './labels.js';
import { wholeNumber } from './noise.js';
import { OrtEngine, firstLine } from './ort_engine.js';
import { longestTable, readSteps } from './steps_file.js';

/** @typedef {import('./ort_engine.js').OnnxRuntime} OnnxRuntime */
/** @typedef {import('./card.js').ModelCard} ModelCard */
/** @typedef {import('./conditioned.js').LabelledDenoiser} LabelledDenoiser */
/** @typedef {import('./inputs.js').Given} Given */
/** @typedef {Uint8Array | ArrayBuffer | URL | string} Source bytes, a URL, or in Node a path */

/**
 * @typedef {object} SampleRequest
 * @property {bigint | number | string} [seed] in [0, 2^64); 0 by default. Digits or a BigInt: JSON.parse rounds integers
 * @property {bigint | number | string} [first] number of the first sample; 0 by default
 * @property {number} [count] of samples; 1 by default
 * @property {number} [batch] samples of one network call; 16 by default
 * @property {readonly number[] | number | null} [label] sample n has label n modulo their count
 * @property {number} [guidance] scale of the label and of the inputs; 1 is none
 * @property {Record<string, Given>} [inputs] values of the model's named inputs; sample n takes entry n modulo their count
 * @property {Record<string, Given>} [nullInputs] with guidance: the values that stand for no condition
 * @property {AbortSignal} [signal] stops between two steps, with the signal's reason
 */

/**
 * A step of one batch. The arrays are overwritten at the next step: copy what you keep.
 * @typedef {object} SampleStep
 * @property {number} row of the step table, from 0
 * @property {number} t the time given to the network
 * @property {Float32Array} x `[batch, C, ...]`; after the last row, the images
 * @property {Float32Array} x0 the predicted data: a preview
 * @property {bigint[]} samples the numbers of the samples of this batch
 * @property {number} done network calls of this request so far
 * @property {number} total network calls of this request
 * @property {boolean} last whether this is the last step of the batch
 */

const MAX_COUNT = 10_000_000, MAX_BATCH = 65_535;

export class Sampler {
  /**
   * A sampler of any denoiser with a card: an engine of your own. `open` makes one of a model's file.
   * @param {LabelledDenoiser} denoise
   * @param {ModelCard} card
   * @param {import('./steps_file.js').CompiledSampler} compiled
   * @param {() => Promise<void>} [close]
   */
  constructor(denoise, card, compiled, close = async () => {}) {
    this.card = card;
    this.compiled = compiled;
    this._denoise = denoise;
    this._close = close;
  }

  /**
   * Open a model and the steps file that was compiled for it, or a model with a fitted table (`ddpm-rt tune --embed`).
   * @param {Source} model an `.onnx` that `ddpm-rt export` wrote
   * @param {Source | null} [steps] a file of `ddpm-rt steps` or `ddpm-rt tune`; null: the longest fitted table of the model
   * @param {object} [options]
   * @param {OnnxRuntime} [options.ort] the module onnxruntime-web or onnxruntime-node; by default the latter
   * @param {object} [options.session] options of ONNX Runtime's session
   * @returns {Promise<Sampler>}
   * @throws {DdpmRtError} for files that are missing, damaged, or of two models
   */
  static async open(model, steps = null, { ort, session } = {}) {
    const [content, table] = await Promise.all([read(model, 'model'), steps === null ? null : read(steps, 'steps file')]);
    const name = named(model, 'model'), engine = await OrtEngine.open(ort ?? (await nodeRuntime()), content, { source: name, session });
    try {
      const source = steps === null ? `the fitted table in ${name}` : named(steps, 'steps file');
      const compiled = table === null ? longestTable(engine.tables, engine.card, name) : readSteps(decoded(table, source), engine.card, source);
      const fractional = compiled.table.t.find((t) => !Number.isInteger(t));
      if (engine.takesWholeTimes && fractional !== undefined) {
        throw new DdpmRtError(`${source} has the time ${fractional}, and the network takes whole timesteps; write it again with another spacing`);
      }
      return new Sampler((...inputs) => engine.call(...inputs), engine.card, compiled, () => engine.close());
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** Rows of the table: network calls for each batch. */
  get steps() {
    return this.compiled.table.steps;
  }

  /**
   * The steps of the samples, batch after batch.
   * @param {SampleRequest} [request]
   * @returns {AsyncGenerator<SampleStep, void, void>}
   * @throws {RangeError} for what the model does not allow
   * @throws {DdpmRtError} where the network's output is not finite
   */
  async *sample(request = {}) {
    const { label = null, guidance = 1, signal } = request, { card } = this;
    const seed = wholeNumber(request.seed ?? 0, 'seed');
    const first = wholeNumber(request.first ?? 0, 'first');
    const count = checkCount('count', request.count ?? 1, MAX_COUNT), batch = checkCount('batch', request.batch ?? 16, MAX_BATCH);
    wholeNumber(first + BigInt(count) - 1n, 'the last sample');
    const inputs = entriesOf(card, request.inputs ?? {}), nullInputs = entriesOf(card, request.nullInputs ?? {}, false);
    labelsOf(card, label, []);
    checkGuidance(card, guidance, nullInputs.size > 0);
    const { table, clip, initialScale } = this.compiled;
    const size = sizeOf(card.imageShape), total = Math.ceil(count / batch) * table.steps;
    let done = 0;
    for (let start = 0; start < count; start += batch) {
      const samples = Array.from({ length: Math.min(batch, count - start) }, (_, place) => first + BigInt(start + place));
      const conditions = { labels: labelsOf(card, label, samples), inputs: inputsOf(inputs, samples), prevX0: card.prevX0 };
      const guided = { guidance, nullClass: card.nullClass, nullInputs: inputsOf(nullInputs, samples), size };
      const denoise = conditioned(this._denoise, conditions, guided);
      for await (const step of trajectory(denoise, table, card.imageShape, { seed, samples, clip, initialScale, selfConditioned: card.prevX0 !== null, signal })) {
        done += 1;
        yield { ...step, samples, done, total, last: step.row === table.steps - 1 };
      }
    }
  }

  /**
   * The images, float32 `[count, C, ...]` in one array.
   * @param {SampleRequest} [request]
   * @returns {Promise<Float32Array>}
   */
  async images(request = {}) {
    const images = new Float32Array((request.count ?? 1) * sizeOf(this.card.imageShape));
    let at = 0;
    for await (const step of this.sample(request)) {
      if (!step.last) continue;
      images.set(step.x, at);
      at += step.x.length;
    }
    return images;
  }

  /** Frees the engine. A second call does nothing. */
  async close() {
    await this._close();
  }
}

/**
 * @param {string} name
 * @param {number} value
 * @param {number} most
 */
function checkCount(name, value, most) {
  if (!Number.isInteger(value) || value < 1 || value > most) throw new RangeError(`${name} must be an integer from 1 to ${most}, not ${value}`);
  return value;
}

/** @returns {Promise<OnnxRuntime>} */
async function nodeRuntime() {
  const name = 'onnxruntime-node'; // not a literal, so that bundlers for the web leave it alone
  try {
    const loaded = await import(name);
    return loaded.default ?? loaded;
  } catch (error) {
    throw new DdpmRtError(`onnxruntime-node cannot be loaded (${firstLine(error)}); install it, or give \`ort\``);
  }
}

/**
 * @param {Source} source
 * @param {string} what
 * @returns {Promise<Uint8Array>}
 */
async function read(source, what) {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  const isNode = typeof process !== 'undefined' && process.versions?.node !== undefined;
  try {
    if (isNode && !/^https?:/.test(String(source))) {
      const { readFile } = await import('node:fs/promises');
      return new Uint8Array(await readFile(source));
    }
    const response = await fetch(source);
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new DdpmRtError(`${named(source, what)} cannot be read: ${firstLine(error)}; check the path`);
  }
}

/**
 * @param {Source} source
 * @param {string} what
 */
function named(source, what) {
  return typeof source === 'string' || source instanceof URL ? String(source) : what;
}

/**
 * @param {Uint8Array} content
 * @param {string} source
 */
function decoded(content, source) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    throw new DdpmRtError(`${source}: not a whole steps file (not UTF-8 text); write it again with \`ddpm-rt steps\``);
  }
}
