/** The model card, formats 1 and 2: the facts about a denoiser. Strict, as runtime/ddpm_rt/artifacts/card.py is. */
import { readInputs, readSpace } from './card_facts.js';
import { DdpmRtError } from './errors.js';
import { TEXT, Wrong, checkKeys, isCount, isNumber, isObject, isText, oneOf, readClip, readSides, require } from './facts.js';
import { parseJson } from './json.js';
import { readBetas, readProcess } from './process.js';
import { sha256 } from './sha256.js';

/** @typedef {import('./facts.js').Json} Json */
/** @typedef {import('./facts.js').JsonObject} JsonObject */

/**
 * @typedef {object} ModelCard
 * @property {number[]} imageShape of what the network draws: C, and up to three sides; C, H, W for an image
 * @property {import('./process.js').Process} process that the weights were trained with
 * @property {'eps' | 'x0' | 'v' | 'edm' | 'velocity'} prediction
 * @property {'fixed_small' | 'fixed_large' | 'learned' | 'learned_range'} variance
 * @property {[number, number] | null} clip
 * @property {string} spacing
 * @property {number | null} classes
 * @property {number | null} nullClass
 * @property {{ x: string, t: string, out: string, y?: string }} names of the graph's tensors
 * @property {Map<string, import('./card_facts.js').InputFacts>} inputs more inputs, by their names in the graph
 * @property {string | null} prevX0 the name of the input that takes the previous x0
 * @property {import('./card_facts.js').Latents | null} latents null: the network draws pixels, or numbers
 * @property {string} precision
 * @property {JsonObject} provenance
 * @property {number} outputChannels the image's, and as many again if the variance is learned
 * @property {1 | 2} format 1 where that can describe the model, whatever the text says
 * @property {string} sha256 of the card's text
 */

const MAX_CLASSES = 2 ** 31 - 1, ENTRIES = 100;
/** @type {Record<string, string[]>} */
const PREDICTIONS = { betas: ['eps', 'x0', 'v'], sigma: ['eps', 'x0', 'v', 'edm'], flow: ['velocity', 'x0'] };
const SPACINGS_OF_FORMAT_1 = ['trailing', 'leading', 'linspace', 'logsnr'];
/** @type {Record<string, string[]>} */
const SPACINGS = { betas: [...SPACINGS_OF_FORMAT_1, 'karras'], sigma: ['karras', 'logsnr'], flow: ['trailing'] };
const VARIANCES = ['fixed_small', 'fixed_large', 'learned', 'learned_range'];
const SHARED = ['prediction', 'variance', 'clip', 'spacing', 'classes', 'null_class', 'names', 'precision', 'provenance'];
/** The keys of each format besides `format`. @type {Record<string, string[]>} */
const KEYS = { 1: ['image_shape', 'betas', ...SHARED], 2: ['shape', 'process', 'inputs', 'space', ...SHARED] };
const PROVENANCE = ['source', 'weights_sha256', 'versions', 'parity'];

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
  if (!isObject(raw) || typeof raw.format !== 'bigint' || !(String(raw.format) in KEYS)) {
    throw fail('not a model card of format 1 or 2, which this release of ddpm-rt for JavaScript reads');
  }
  try {
    const { format, ...facts } = raw;
    checkProvenance(facts.provenance);
    checkKeys(facts, KEYS[String(format)], '');
    return { ...(format === 1n ? format1(facts) : format2(facts)), sha256: sha256(text) };
  } catch (error) {
    if (error instanceof Wrong) throw fail(`the model card is wrong: ${error.message}`);
    throw error;
  }
}

/**
 * @param {JsonObject} raw
 * @returns {Omit<ModelCard, 'sha256'>}
 */
function format1(raw) {
  const imageShape = readSides(raw.image_shape, 'image_shape', '[C, H, W]', 3, 3);
  oneOf(raw.spacing, SPACINGS_OF_FORMAT_1, 'spacing');
  return { imageShape, inputs: new Map(), prevX0: null, latents: null, ...shared(raw, imageShape, { kind: 'betas', betas: readBetas(raw.betas) }), format: 1 };
}

/**
 * @param {JsonObject} raw
 * @returns {Omit<ModelCard, 'sha256'>}
 */
function format2(raw) {
  const imageShape = readSides(raw.shape, 'shape', '[C, ...] of rank 1 to 4', 1, 4);
  const facts = shared(raw, imageShape, readProcess(raw.process));
  const inputs = readInputs(raw.inputs, Object.values(facts.names), imageShape);
  const latents = readSpace(raw.space);
  const [prevX0 = null] = [...inputs.keys()].filter((name) => inputs.get(name)?.role === 'prev_x0');
  const plain = facts.process.kind === 'betas' && !inputs.size && latents === null;
  const isOfFormat1 = plain && imageShape.length === 3 && SPACINGS_OF_FORMAT_1.includes(facts.spacing);
  return { imageShape, inputs, prevX0, latents, ...facts, format: isOfFormat1 ? 1 : 2 };
}

/**
 * The facts that both formats have.
 * @param {JsonObject} raw
 * @param {number[]} imageShape
 * @param {ModelCard['process']} process
 */
function shared(raw, imageShape, process) {
  const { classes, null_class: nullClass } = raw, { kind } = process;
  const variance = /** @type {ModelCard['variance']} */ (oneOf(raw.variance, VARIANCES, 'variance'));
  const prediction = /** @type {ModelCard['prediction']} */ (oneOf(raw.prediction, PREDICTIONS[kind], `prediction with a process of ${kind}`));
  require(kind === 'betas' || variance === 'fixed_small', 'variance', `fixed_small with a process of ${kind}`, variance);
  if (prediction === 'edm' && process.kind === 'sigma' && process.sigmaData === null) throw new Wrong('prediction edm needs sigma_data, the deviation of the data');
  require(classes === null || isCount(classes, 1, MAX_CLASSES), 'classes', `a count up to ${MAX_CLASSES}, or null`, classes);
  const known = nullClass === null || (classes !== null && isCount(nullClass, 0, Number(classes) - 1));
  require(known, 'null_class', 'one of the classes or null', nullClass);
  require(isText(raw.precision), 'precision', `a string of at most ${TEXT} characters`, raw.precision);
  return {
    process,
    prediction,
    variance,
    clip: readClip(raw.clip),
    spacing: oneOf(raw.spacing, SPACINGS[kind], `spacing with a process of ${kind}`),
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
