/** The engine: an ONNX file in onnxruntime-node or onnxruntime-web. */
import { DdpmRtError } from './errors.js';
import { gathered } from './inputs.js';
import { readOnnx } from './onnx_file.js';

/**
 * What is used of onnxruntime-node and onnxruntime-web, whose interfaces are the same.
 * @typedef {object} OnnxRuntime
 * @property {{ create(model: Uint8Array, options?: any): Promise<Session> }} InferenceSession
 * @property {new (type: any, data: any, dims: readonly number[]) => any} Tensor
 */

/**
 * @typedef {object} Session
 * @property {(feeds: Record<string, any>, fetches: string[]) => Promise<Record<string, any>>} run
 * @property {() => Promise<void>} release
 */

/** @typedef {import('./inputs.js').InputValues} InputValues */

/** @type {Record<string, (t: number, count: number) => BigInt64Array | Int32Array | Float32Array>} */
const TIMES = {
  int64: (t, count) => new BigInt64Array(count).fill(BigInt(t)),
  int32: (t, count) => new Int32Array(count).fill(t),
  float32: (t, count) => new Float32Array(count).fill(t),
};
const MAX_BATCH = 65_535;

export class OrtEngine {
  /**
   * @param {OnnxRuntime} ort
   * @param {Session} session
   * @param {import('./onnx_file.js').OnnxFile} file
   * @param {number | null} staticBatch
   */
  constructor(ort, session, file, staticBatch) {
    this.card = file.card;
    this.tables = file.tables;
    /** The fixed batch of the graph, or null. */
    this.staticBatch = staticBatch;
    this._ort = ort;
    /** @type {Session | null} */
    this._session = session;
    this._time = /** @type {import('./onnx_file.js').Tensor} */ (file.inputs.get(file.card.names.t));
  }

  /** Whether the network takes whole timesteps only. */
  get takesWholeTimes() {
    return this._time.type !== 'float32';
  }

  /**
   * @param {OnnxRuntime} ort the module onnxruntime-node or onnxruntime-web
   * @param {Uint8Array} content of the model's file
   * @param {object} [options]
   * @param {string} [options.source] the start of a message
   * @param {object} [options.session] options of the session
   * @throws {DdpmRtError} for anything but a model with a card, or one that ONNX Runtime does not open
   */
  static async open(ort, content, { source = 'model', session: sessionOptions = {} } = {}) {
    const file = readOnnx(content, source);
    const batch = checkSignature(file, source);
    let session;
    try {
      session = await ort.InferenceSession.create(content, sessionOptions);
    } catch (error) {
      throw new DdpmRtError(`${source} is not a whole ONNX model, or one that ONNX Runtime cannot run: ${firstLine(error)}`);
    }
    return new OrtEngine(ort, session, file, batch);
  }

  /**
   * The network's output for each image of x. A graph of fixed batch is called several times, the last time with copies
   * of the last image.
   * @param {Float32Array} x `[batch, C, ...]`
   * @param {number} t
   * @param {number} batch
   * @param {readonly number[]} [labels] of a class-conditional model
   * @param {InputValues} [inputs] of a model with named inputs, `[batch, ...]` each
   * @returns {Promise<Float32Array>}
   * @throws {RangeError} for a fractional t where the network takes whole timesteps
   */
  async call(x, t, batch, labels, inputs = new Map()) {
    if (this.takesWholeTimes && !Number.isInteger(t)) throw new RangeError(`the network takes whole timesteps, not ${t}; choose another spacing, or list timesteps`);
    const calls = this.staticBatch ?? batch;
    if (calls === batch) return this._run(x, t, batch, labels, inputs);
    const outputs = [];
    for (let first = 0; first < batch; first += calls) {
      const filled = Array.from({ length: calls }, (_, place) => Math.min(first + place, batch - 1));
      const part = /** @type {Float32Array} */ (gathered(x, batch, filled));
      const more = new Map([...inputs].map(([name, values]) => [name, gathered(values, batch, filled)]));
      const out = await this._run(part, t, calls, labels && filled.map((image) => labels[image]), more);
      outputs.push(out.subarray(0, (Math.min(calls, batch - first) * out.length) / calls));
    }
    const whole = new Float32Array(outputs.reduce((sum, out) => sum + out.length, 0));
    outputs.reduce((at, out) => (whole.set(out, at), at + out.length), 0);
    return whole;
  }

  /**
   * @param {Float32Array} x
   * @param {number} t
   * @param {number} batch
   * @param {readonly number[] | undefined} labels
   * @param {InputValues} inputs
   */
  async _run(x, t, batch, labels, inputs) {
    if (this._session === null) throw new DdpmRtError('the engine has been closed; open it again');
    const { names, imageShape } = this.card, { Tensor } = this._ort;
    const { type, shape } = this._time, count = isOneTime(this._time, this.staticBatch) ? 1 : batch;
    /** @type {Record<string, any>} */
    const feeds = {
      [names.x]: new Tensor('float32', x, [batch, ...imageShape]),
      [names.t]: new Tensor(type, TIMES[type](t, count), shape.length ? [count] : []),
    };
    if (names.y !== undefined) feeds[names.y] = new Tensor('int64', BigInt64Array.from(labels ?? [], BigInt), [batch]);
    for (const [name, { dtype, shape: sides }] of this.card.inputs) feeds[name] = new Tensor(dtype, inputs.get(name), [batch, ...sides]);
    const found = await this._session.run(feeds, [names.out]);
    return /** @type {Float32Array} */ (found[names.out].data);
  }

  /** Frees what the engine holds. A second call does nothing. */
  async close() {
    const session = this._session;
    this._session = null;
    await session?.release();
  }
}

/**
 * @param {import('./onnx_file.js').OnnxFile} file
 * @param {string} source
 * @returns {number | null} the fixed batch
 */
function checkSignature({ card, inputs, outputs }, source) {
  const { names, imageShape } = card, fail = (/** @type {string} */ reason) => new DdpmRtError(`${source}: ${reason}`);
  const isLevelled = card.process.kind !== 'betas';
  /** @type {Map<string, string[]>} */
  const types = new Map([[names.x, ['float32']], [names.t, isLevelled ? ['float32'] : Object.keys(TIMES)]]);
  if (names.y !== undefined) types.set(names.y, ['int64']);
  for (const [name, { dtype }] of card.inputs) types.set(name, [dtype]);
  const fits = inputs.size === types.size && [...types].every(([name, known]) => known.includes(inputs.get(name)?.type ?? ''));
  if (!fits) {
    const wanted = [...types].map(([name, known]) => `${name} (${known.join(' or ')})`).join(', ');
    throw fail(`inputs must be ${wanted}, not ${[...inputs.keys()]}`);
  }
  if ([...outputs.keys()].join() !== names.out) throw fail(`there must be one output, '${names.out}'`);
  const sidesOf = (/** @type {string} */ name) => /** @type {import('./onnx_file.js').Tensor} */ (inputs.get(name)).shape;
  const [first, ...image] = sidesOf(names.x), fixed = first ?? null;
  if (image.join() !== imageShape.join()) throw fail(`x is ${image} but the card says ${imageShape}`);
  if (fixed !== null && (fixed < 1 || fixed > MAX_BATCH)) throw fail(`its batch is fixed to ${fixed}; export it with 1 to ${MAX_BATCH}, or any`);
  const channels = outputs.get(names.out)?.shape[1];
  if (typeof channels === 'number' && channels !== card.outputChannels) throw fail(`out has ${channels} channels, but with variance ${card.variance} it has ${card.outputChannels}`);
  const isBatch = (/** @type {number | null | undefined} */ side) => side === null || (side !== undefined && side === fixed);
  const t = sidesOf(names.t);
  if (t.length > 1 || (t.length === 1 && !isBatch(t[0]) && t[0] !== 1)) throw fail(`${names.t} is ${t}; it must be a number, [1], or [batch]`);
  const listed = [...card.inputs].map(([name, { shape }]) => /** @type {[string, number[]]} */ ([name, shape]));
  if (names.y !== undefined) listed.push([names.y, []]);
  for (const [name, shape] of listed) {
    const [batch, ...sides] = sidesOf(name);
    if (!isBatch(batch) || sides.join() !== shape.join()) throw fail(`${name} is [${sidesOf(name)}], but must be [${['batch', ...shape]}]`);
  }
  return fixed;
}

/**
 * Whether t is one number for all images.
 * @param {import('./onnx_file.js').Tensor} time
 * @param {number | null} batch
 */
function isOneTime(time, batch) {
  return !time.shape.length || (time.shape[0] === 1 && batch !== 1);
}

/** @param {unknown} error */
export function firstLine(error) {
  return String(error instanceof Error ? error.message : error).split('\n')[0].slice(0, 200);
}
