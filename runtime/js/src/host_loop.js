/**
 * The reverse loop, shared by all samplers: runtime/ddpm_rt/host_loop.py in JavaScript, with the same bits for the same
 * outputs of the network. Each operation is rounded to float32 once, in the order of include/ddpm_rt/step.h.
 */
import { DdpmRtError } from './errors.js';
import { exp } from './exponential.js';
import { sizeOf } from './facts.js';
import { INITIAL_STEP, normal } from './noise.js';

/** @typedef {import('./conditioned.js').Denoiser} Denoiser */
/** @typedef {import('./steps_file.js').StepTable} StepTable */

/**
 * The state after a reverse step. The arrays belong to the loop, which overwrites them at the next step.
 * @typedef {object} Step
 * @property {number} row of the step table, from 0
 * @property {number} t the time given to the network
 * @property {Float32Array} x the images after this step, `[batch, C, ...]`; after the last row, the result
 * @property {Float32Array} x0 the predicted data, clipped
 */

/**
 * @typedef {object} ChainOptions
 * @property {bigint | number | string} seed
 * @property {readonly (bigint | number | string)[]} samples sample numbers
 * @property {readonly [number, number] | null} [clip] the range that x0 is clipped to; by default [-1, 1]
 * @property {(step: number) => Float32Array} [noise] replaces the noise, `[batch, C, ...]` for a row or INITIAL_STEP
 * @property {Float32Array} [start] replaces what the chain begins with, `initialScale` times noise
 * @property {number} [initialScale] 1 by default
 * @property {boolean} [selfConditioned] the denoiser also gets the x0 of the step before, and zeros in the first step
 * @property {number} [firstRow] leaves out the rows before it
 * @property {AbortSignal} [signal] ends the chain between two steps, with the signal's reason
 */

/**
 * Run a table from noise to images and yield every step.
 * @param {Denoiser} denoise
 * @param {StepTable} table
 * @param {readonly number[]} shape C, ...
 * @param {ChainOptions} options
 * @returns {AsyncGenerator<Step, void, void>}
 * @throws {DdpmRtError} naming the sample and the step, where an output or a final image is not finite
 */
export async function* trajectory(denoise, table, shape, options) {
  const { seed, samples, clip = [-1, 1], start, firstRow = 0, initialScale = 1, selfConditioned = false, signal } = options;
  const size = sizeOf(shape), count = samples.length * size, scale = Math.fround(initialScale);
  const z = new Float32Array(count);
  const draw = options.noise ?? ((/** @type {number} */ step) => normal(seed, samples, step, size, z));
  const first = draw(INITIAL_STEP); // drawn even if `start` is given: a `noise` with state must advance
  const x = start === undefined ? first.map((z) => scale * z) : Float32Array.from(start);
  if (x.length !== count) throw new RangeError(`the chain must start from ${count} numbers, not ${x.length}`);
  let x0 = new Float32Array(count), previous = new Float32Array(count);
  for (let row = firstRow; row < table.steps; row += 1) {
    signal?.throwIfAborted();
    const t = table.t[row];
    const out = await (selfConditioned ? denoise(x, t, samples.length, x0) : denoise(x, t, samples.length));
    signal?.throwIfAborted();
    if (out.length !== count && out.length !== 2 * count) throw new DdpmRtError(`the network gives ${out.length} numbers for ${count}; check the model`);
    requireFinite("the network's output", out, samples, row, t);
    [x0, previous] = [previous, x0];
    update(table, row, clip, size, out, x, x0, previous);
    if (table.sigma[row] !== 0) addNoise(table, row, size, out, draw(row), x);
    if (row === table.steps - 1) requireFinite('the image', x, samples, row, t);
    yield { row, t, x, x0 };
  }
}

/**
 * x0 and the mean of the next x.
 * @param {StepTable} table
 * @param {number} row
 * @param {readonly [number, number] | null} clip
 * @param {number} size of one image
 * @param {Float32Array} out
 * @param {Float32Array} x is changed
 * @param {Float32Array} x0 is overwritten
 * @param {Float32Array} previous x0 of the row before
 */
function update(table, row, clip, size, out, x, x0, previous) {
  const f = Math.fround;
  const fromX = table.x0FromX[row], fromOut = table.x0FromOut[row];
  const meanX0 = table.meanFromX0[row], meanX = table.meanFromX[row];
  const meanOut = table.meanFromOut[row], meanPrevious = table.meanFromPrevX0[row];
  const low = clip === null ? -Infinity : f(clip[0]), high = clip === null ? Infinity : f(clip[1]);
  const stride = out.length / (x.length / size);
  for (let image = 0, at = 0; at < x.length; image += 1) {
    for (let i = image * stride, end = i + size; i < end; i += 1, at += 1) {
      let here = f(f(fromX * x[at]) + f(fromOut * out[i]));
      here = here < low ? low : here;
      here = here > high ? high : here;
      let next = f(f(meanX * x[at]) + f(meanX0 * here));
      if (meanOut !== 0) next = f(next + f(meanOut * out[i]));
      if (meanPrevious !== 0) next = f(next + f(meanPrevious * previous[at]));
      x[at] = next;
      x0[at] = here;
    }
  }
}

/**
 * @param {StepTable} table
 * @param {number} row
 * @param {number} size of one image
 * @param {Float32Array} out
 * @param {Float32Array} z
 * @param {Float32Array} x is changed
 */
function addNoise(table, row, size, out, z, x) {
  const f = Math.fround;
  const sigma = table.sigma[row], fromSpread = table.logSigmaFromSpread[row];
  const stride = out.length / (x.length / size);
  if (fromSpread !== 0 && stride !== 2 * size) throw new DdpmRtError('the table wants a learned variance, which the network does not give; write it again with `ddpm-rt steps`');
  for (let image = 0, at = 0; at < x.length; image += 1) {
    for (let i = image * stride + size, end = i + size; i < end; i += 1, at += 1) {
      let part = f(sigma * z[at]);
      if (fromSpread !== 0) part = f(part * exp(f(fromSpread * out[i])));
      x[at] = f(x[at] + part);
    }
  }
}

/**
 * @param {string} what
 * @param {Float32Array} values one or two images of each sample
 * @param {readonly (bigint | number | string)[]} samples
 * @param {number} row
 * @param {number} t
 */
function requireFinite(what, values, samples, row, t) {
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  const sample = samples[Math.floor(bad / (values.length / samples.length))];
  throw new DdpmRtError(`${what} of sample ${sample} is not finite at step ${row}, t = ${t}; check the model`);
}
