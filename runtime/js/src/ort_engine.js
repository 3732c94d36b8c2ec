/** The engine: an ONNX file in onnxruntime-node or onnxruntime-web. */
import { DdpmRtError } from './errors.js';
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

/** @type {Record<string, (t: number, count: number) => BigInt64Array | Int32Array | Float32Array>} */
const TIMES = {
  int64: (t, count) => new BigInt64Array(count).fill(BigInt(t)),
  int32: (t, count) => new Int32Array(count).fill(t),
  float32: (t, count) => new Float32Array(count).fill(t),
};

export class OrtEngine {
  /**
   * @param {OnnxRuntime} ort
   * @param {Session} session
   * @param {import('./onnx_file.js').OnnxFile} file
   * @param {number | null} staticBatch
   */
  constructor(ort, session, file, staticBatch) {
    this.card = file.card;
    /** The fixed batch of the graph, or null. */
    this.staticBatch = staticBatch;
    this._ort = ort;
    /** @type {Session | null} */
    this._session = session;
    this._time = /** @type {import('./onnx_file.js').Tensor} */ (file.inputs.get(file.card.names.t));
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
   * @param {Float32Array} x `[batch, C, H, W]`
   * @param {number} t
   * @param {number} batch
   * @param {readonly number[]} [labels] of a class-conditional model
   * @returns {Promise<Float32Array>}
   */
  async call(x, t, batch, labels) {
    const calls = this.staticBatch ?? batch;
    if (calls === batch) return this._run(x, t, batch, labels);
    const size = x.length / batch, outputs = [];
    for (let first = 0; first < batch; first += calls) {
      const filled = Array.from({ length: calls }, (_, place) => Math.min(first + place, batch - 1));
      const part = new Float32Array(calls * size);
      filled.forEach((image, place) => part.set(x.subarray(image * size, (image + 1) * size), place * size));
      const out = await this._run(part, t, calls, labels && filled.map((image) => labels[image]));
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
   * @param {readonly number[]} [labels]
   */
  async _run(x, t, batch, labels) {
    if (this._session === null) throw new DdpmRtError('the engine has been closed; open it again');
    const { names, imageShape } = this.card, { Tensor } = this._ort;
    const { type, shape } = this._time, count = isOneTime(this._time, this.staticBatch) ? 1 : batch;
    /** @type {Record<string, any>} */
    const feeds = {
      [names.x]: new Tensor('float32', x, [batch, ...imageShape]),
      [names.t]: new Tensor(type, TIMES[type](t, count), shape.length ? [count] : []),
    };
    if (names.y !== undefined) feeds[names.y] = new Tensor('int64', BigInt64Array.from(labels ?? [], BigInt), [batch]);
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
  const { names, imageShape } = card;
  const labelled = names.y !== undefined;
  const wanted = `${names.x} (float32), ${names.t} (int64, int32 or float32)${labelled ? `, ${names.y} (int64)` : ''}`;
  const x = inputs.get(names.x), t = inputs.get(names.t), y = labelled ? inputs.get(/** @type {string} */ (names.y)) : undefined;
  const fits = x?.type === 'float32' && t !== undefined && t.type in TIMES && (!labelled || y?.type === 'int64');
  if (!fits || inputs.size !== (labelled ? 3 : 2)) throw new DdpmRtError(`${source}: inputs must be ${wanted}, not ${[...inputs.keys()]}`);
  if ([...outputs.keys()].join() !== names.out) throw new DdpmRtError(`${source}: there must be one output, '${names.out}'`);
  const [batch, ...image] = x.shape;
  if (image.join() !== imageShape.join()) throw new DdpmRtError(`${source}: x is ${image} but the card says ${imageShape}`);
  const fixed = batch ?? null;
  const oneSide = t.shape.length <= 1 && (!t.shape.length || t.shape[0] === null || t.shape[0] === fixed || t.shape[0] === 1);
  if (!oneSide) throw new DdpmRtError(`${source}: ${names.t} is ${t.shape}; it must be a number, [1], or [batch]`);
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
