/**
 * The forward process of a card. The table of a steps file has all that the loop needs of a process, so these are facts
 * only; runtime/ddpm_rt/samplers/continuous.py says what the numbers mean.
 */
import { checkKeys, isNumber, oneOf, require } from './facts.js';

/** @typedef {import('./facts.js').Json} Json */
/** @typedef {import('./facts.js').JsonObject} JsonObject */

/** @typedef {{ kind: 'betas', betas: Float64Array }} BetasProcess */
/**
 * x = x0 + sigma z; the network is told sigma or its logarithm, times `timeScale`.
 * @typedef {object} SigmaProcess
 * @property {'sigma'} kind
 * @property {number} sigmaMin
 * @property {number} sigmaMax
 * @property {'sigma' | 'log_sigma'} time
 * @property {number} timeScale
 * @property {number | null} sigmaData deviation of the data, for prediction edm
 */
/**
 * x = (1 - t) x0 + t z; the network is told t or 1 - t, times `timeScale`.
 * @typedef {object} FlowProcess
 * @property {'flow'} kind
 * @property {'t' | '1-t'} time
 * @property {number} timeScale
 * @property {number} shift of the spacing
 */
/** @typedef {BetasProcess | SigmaProcess | FlowProcess} Process */

const MAX_TIMESTEPS = 65_536;
const LEAST_SIGMA = 1e-5, MOST_SIGMA = 1e6;
/** The reader of each kind. @type {Record<string, (raw: JsonObject) => Process>} */
const KINDS = {
  betas: (raw) => {
    checkKeys(raw, ['betas'], 'process.');
    return { kind: 'betas', betas: readBetas(raw.betas) };
  },
  sigma: readSigma,
  flow: readFlow,
};

/**
 * @param {Json} raw the value of `process` in a card of format 2
 * @returns {Process}
 */
export function readProcess(raw) {
  const { kind, facts } = ofKind(raw, 'process', Object.keys(KINDS));
  return KINDS[kind](facts);
}

/**
 * The kind of an object, and its other keys.
 * @param {Json} raw
 * @param {string} key
 * @param {readonly string[]} known
 */
export function ofKind(raw, key, known) {
  require(typeof raw === 'object' && raw !== null && !Array.isArray(raw), key, 'an object', raw);
  const { kind, ...facts } = /** @type {JsonObject} */ (raw);
  return { kind: oneOf(kind, known, `${key}.kind`), facts };
}

/** @param {Json} raw */
export function readBetas(raw) {
  const listed = Array.isArray(raw) && raw.length <= MAX_TIMESTEPS && raw.every(isNumber);
  require(listed, 'betas', `a list of at most ${MAX_TIMESTEPS} numbers`, raw);
  const betas = Float64Array.from(/** @type {Json[]} */ (raw), Number);
  const inside = betas.length > 1 && betas[betas.length - 1] === 1 ? betas.subarray(0, -1) : betas;
  const all = betas.length > 0 && inside.every((beta) => beta > 0 && beta < 1);
  require(all, 'betas', 'a non-empty 1-D array with every value inside (0, 1); the last may be 1', raw);
  return betas;
}

/**
 * @param {JsonObject} raw
 * @returns {SigmaProcess}
 */
function readSigma(raw) {
  checkKeys(raw, ['sigma_min', 'sigma_max', 'time', 'time_scale', 'sigma_data'], 'process.');
  const { sigma_min: low, sigma_max: high, sigma_data: data } = raw;
  require(isSigma(low) && isSigma(high) && Number(low) < Number(high), 'sigmas', `ascending within [${LEAST_SIGMA}, ${MOST_SIGMA}]`, [low, high]);
  require(data === null || isSigma(data), 'sigma_data', `in [${LEAST_SIGMA}, ${MOST_SIGMA}], or null`, data);
  return {
    kind: 'sigma',
    sigmaMin: Number(low),
    sigmaMax: Number(high),
    time: /** @type {SigmaProcess['time']} */ (oneOf(raw.time, ['sigma', 'log_sigma'], 'time')),
    timeScale: readTimeScale(raw.time_scale),
    sigmaData: data === null ? null : Number(data),
  };
}

/**
 * @param {JsonObject} raw
 * @returns {FlowProcess}
 */
function readFlow(raw) {
  checkKeys(raw, ['time', 'time_scale', 'shift'], 'process.');
  const { shift } = raw;
  require(isNumber(shift) && Number(shift) >= 1e-3 && Number(shift) <= 1e3, 'shift', 'in [0.001, 1000]', shift);
  return {
    kind: 'flow',
    time: /** @type {FlowProcess['time']} */ (oneOf(raw.time, ['t', '1-t'], 'time')),
    timeScale: readTimeScale(raw.time_scale),
    shift: Number(shift),
  };
}

/** @param {Json} raw */
function isSigma(raw) {
  return isNumber(raw) && Number(raw) >= LEAST_SIGMA && Number(raw) <= MOST_SIGMA;
}

/** @param {Json} raw */
function readTimeScale(raw) {
  const size = isNumber(raw) ? Math.abs(Number(raw)) : NaN;
  require(size >= 1e-6 && size <= 1e6, 'time_scale', 'a number of 1e-6 to 1e6 in size', raw);
  return Number(raw);
}
