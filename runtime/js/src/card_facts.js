/** Facts of a card that only some models have: named inputs, and latents in place of pixels. */
import { Wrong, checkKeys, isNumber, isObject, isText, oneOf, readSides, require } from './facts.js';
import { ofKind } from './process.js';

/** @typedef {import('./facts.js').Json} Json */
/** @typedef {import('./facts.js').JsonObject} JsonObject */

/**
 * One more input of the network, `[batch, ...shape]`. The role `prev_x0` is self-conditioning: the loop gives the x0 of
 * the step before, and zeros in the first. A `condition` is given by the user.
 * @typedef {object} InputFacts
 * @property {'float32' | 'int64' | 'int32'} dtype
 * @property {number[]} shape without the batch; [] is a number for each sample
 * @property {'condition' | 'prev_x0'} role
 */

/**
 * The network draws latents; an image is decoder(x / scale + shift).
 * @typedef {object} Latents
 * @property {number} scale
 * @property {number} shift
 * @property {string | null} decoder the name of an ONNX file beside the model
 */

const INPUTS = 16, RANK = 6;
const FILE_NAME = /^[\p{L}\p{N}_ .+-]{1,200}$/u;

/**
 * @param {Json} raw the value of `inputs` in a card of format 2
 * @param {readonly string[]} taken the names of the other tensors
 * @param {readonly number[]} shape of the image
 * @returns {Map<string, InputFacts>}
 */
export function readInputs(raw, taken, shape) {
  if (!isObject(raw)) throw new Wrong('inputs must be an object');
  require(Object.keys(raw).length <= INPUTS, 'inputs', `at most ${INPUTS} names with their facts`, raw);
  const inputs = new Map(Object.entries(raw).map(([name, facts]) => [name, readInput(facts)]));
  for (const name of inputs.keys()) {
    require(isText(name) && name !== '' && !taken.includes(name), 'inputs', 'names that no other tensor has', name);
  }
  const previous = [...inputs.values()].filter((facts) => facts.role === 'prev_x0');
  require(previous.length <= 1, 'inputs', 'with at most one of the role prev_x0', [...inputs.keys()]);
  for (const facts of previous) {
    const alike = facts.dtype === 'float32' && facts.shape.join() === shape.join();
    require(alike, 'the input of the role prev_x0', 'float32 of the shape of x', facts);
  }
  return inputs;
}

/**
 * @param {Json} raw
 * @returns {InputFacts}
 */
function readInput(raw) {
  if (!isObject(raw)) throw new Wrong('inputs must have an object for each name');
  checkKeys(raw, ['dtype', 'shape', 'role'], 'inputs.');
  return {
    dtype: /** @type {InputFacts['dtype']} */ (oneOf(raw.dtype, ['float32', 'int64', 'int32'], 'dtype')),
    shape: readSides(raw.shape, 'shape', `a list of at most ${RANK} sides`, 0, RANK),
    role: /** @type {InputFacts['role']} */ (oneOf(raw.role, ['condition', 'prev_x0'], 'role')),
  };
}

/**
 * @param {Json} raw the value of `space` in a card of format 2
 * @returns {Latents | null} null for pixels
 */
export function readSpace(raw) {
  const { kind, facts } = ofKind(raw, 'space', ['pixels', 'latents']);
  checkKeys(facts, kind === 'pixels' ? [] : ['scale', 'shift', 'decoder'], 'space.');
  if (kind === 'pixels') return null;
  const { scale, shift, decoder } = facts;
  require(isNumber(scale) && Number(scale) !== 0, 'scale', 'a number other than 0', scale);
  require(isNumber(shift), 'shift', 'a number', shift);
  const named = decoder === null || (typeof decoder === 'string' && FILE_NAME.test(decoder));
  require(named, 'decoder', 'a file name without folders, or null', decoder);
  return { scale: Number(scale), shift: Number(shift), decoder: /** @type {string | null} */ (decoder) };
}
