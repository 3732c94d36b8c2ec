/** A denoiser with what its samples are conditioned on bound to it, so that the loop does not know of it. */
import { joined } from './inputs.js';

/** @typedef {import('./inputs.js').InputValues} InputValues */

/**
 * What the loop calls: the network's output for each image of x at one time.
 * @callback Denoiser
 * @param {Float32Array} x `[batch, C, ...]`
 * @param {number} t
 * @param {number} batch
 * @param {Float32Array} [prevX0] `[batch, C, ...]`, the x0 of the step before, for a model with self-conditioning
 * @returns {Float32Array | Promise<Float32Array>} `[batch, C or 2 C, ...]`
 */

/**
 * A denoiser that also takes the class of each image, and the values of named inputs.
 * @callback LabelledDenoiser
 * @param {Float32Array} x
 * @param {number} t
 * @param {number} batch
 * @param {readonly number[]} [labels]
 * @param {InputValues} [inputs] `[batch, ...]` each
 * @returns {Float32Array | Promise<Float32Array>}
 */

/**
 * What a batch of samples is conditioned on.
 * @typedef {object} Conditions
 * @property {readonly number[]} [labels] of a class-conditional model
 * @property {InputValues} [inputs]
 * @property {string | null} [prevX0] the input that takes the x0 of the step before
 */

/**
 * The denoiser of an engine for samples with these conditions. With guidance W, out = null + W (conditioned - null): Ho
 * and Salimans 2022, eq. (6) with W = 1 + w. One call of twice the batch computes both; a learned variance is the
 * conditioned half's. Inputs without a null value, and labels without a null class, are the same in both halves.
 * @param {LabelledDenoiser} engine
 * @param {Conditions} conditions
 * @param {object} [guided]
 * @param {number} [guided.guidance] 1 by default, which needs no second half
 * @param {number | null} [guided.nullClass]
 * @param {InputValues} [guided.nullInputs]
 * @param {number} [guided.size] of one image
 * @returns {Denoiser}
 */
export function conditioned(engine, conditions, { guidance = 1, nullClass = null, nullInputs = new Map(), size = 0 } = {}) {
  const { labels, inputs = new Map(), prevX0 = null } = conditions;
  if (guidance === 1) return (x, t, batch, x0) => engine(x, t, batch, labels, given(inputs, prevX0, x0));
  const both = labels && [...labels, ...labels.map((label) => nullClass ?? label)];
  const doubled = new Map([...inputs].map(([name, value]) => [name, joined(value, nullInputs.get(name) ?? value)]));
  return async (x, t, batch, x0) => {
    const out = await engine(twice(x), t, 2 * batch, both, given(doubled, prevX0, x0 && twice(x0)));
    return guidedOutput(out, batch, Math.fround(guidance), size);
  };
}

/**
 * null + guidance (conditioned - null) for the image; a learned variance is the conditioned half's.
 * @param {Float32Array} out of twice the batch
 * @param {number} batch
 * @param {number} scale
 * @param {number} size of one image
 */
function guidedOutput(out, batch, scale, size) {
  const f = Math.fround, each = out.length / (2 * batch);
  const guided = out.slice(0, out.length / 2);
  for (let image = 0; image < batch; image += 1) {
    for (let i = image * each, end = i + size; i < end; i += 1) {
      const blank = out[i + batch * each];
      guided[i] = f(blank + f(scale * f(out[i] - blank)));
    }
  }
  return guided;
}

/**
 * @param {InputValues} inputs
 * @param {string | null} prevX0
 * @param {Float32Array | undefined} x0
 */
function given(inputs, prevX0, x0) {
  return prevX0 === null ? inputs : new Map([...inputs, [prevX0, /** @type {Float32Array} */ (x0)]]);
}

/** @param {Float32Array} values */
function twice(values) {
  return /** @type {Float32Array} */ (joined(values, values));
}
