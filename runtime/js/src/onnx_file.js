/** The card in an ONNX file, its fitted tables and the kinds of its inputs, read from its bytes: no engine shows a file's metadata. */
import { readCard } from './card.js';
import { DdpmRtError } from './errors.js';
import { TEXT_BYTES } from './json.js';

const GRAPH = 7, METADATA_PROPS = 14, KEY = 1, VALUE = 2; // fields of a ModelProto and of one entry
const INITIALIZER = 5, INPUT = 11, OUTPUT = 12; // of a GraphProto
const NAME = 1, TYPE = 2, TENSOR_NAME = 8; // of a ValueInfoProto and a TensorProto
const TENSOR_TYPE = 1, ELEM_TYPE = 1, SHAPE = 2, DIM = 1, DIM_VALUE = 1;
const CARD = 'ddpm_rt.card', FUSED = 'ddpm_rt.fused', FITTED = /^ddpm_rt\.steps\.([0-9]{1,15})$/;
const VARINT = 0, BYTES = 2;
/** @type {Record<number, number>} */
const SCALARS = { 1: 8, 5: 4 };
const MAX_FIELDS = 2 ** 23;
/** @type {Record<number, string>} */
const TYPES = { 1: 'float32', 6: 'int32', 7: 'int64' };

/** @typedef {{ type: string, shape: (number | null)[] }} Tensor `null` is a side that is free */

/**
 * @typedef {object} OnnxFile
 * @property {import('./card.js').ModelCard} card
 * @property {Map<number, string>} tables the texts of the fitted tables, by network calls
 * @property {Map<string, Tensor>} inputs
 * @property {Map<string, Tensor>} outputs
 */

/**
 * @param {Uint8Array} content
 * @param {string} [source] the start of a message
 * @returns {OnnxFile}
 * @throws {DdpmRtError} for anything but an ONNX model with a card
 */
export function readOnnx(content, source = 'model') {
  /** @type {Map<string, string[]>} */
  const texts = new Map();
  let graph;
  try {
    for (const field of fields(content)) {
      if (field.number === GRAPH) graph = field.bytes;
      if (field.number === METADATA_PROPS) {
        const entry = new Map([...fields(field.bytes)].map((part) => [part.number, part.bytes]));
        const key = decoded(entry.get(KEY));
        texts.set(key, [...(texts.get(key) ?? []), decoded(entry.get(VALUE))]);
      }
    }
    if (graph === undefined) throw new RangeError('it has no graph');
    return { card: onlyCard(texts, source), tables: fittedTables(texts), ...signature(graph) };
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) {
      throw new DdpmRtError(`${source} is not a whole ONNX model (${error.message}); export the model again`);
    }
    throw error;
  }
}

/**
 * @param {Map<string, string[]>} texts
 * @param {string} source
 */
function onlyCard(texts, source) {
  const cards = texts.get(CARD) ?? [];
  if (texts.has(FUSED)) throw new DdpmRtError(`${source} is a fused chain, which draws whole images; name the network that it was made from`);
  if (!cards.length) throw new DdpmRtError(`${source} has no model card; make the model with \`ddpm-rt export\``);
  if (cards.length > 1) throw new DdpmRtError(`${source} has more than one model card; export the model again`);
  return readCard(cards[0], source);
}

/** @param {Map<string, string[]>} texts */
function fittedTables(texts) {
  /** @type {Map<number, string>} */
  const tables = new Map();
  for (const [key, [text]] of texts) {
    const calls = FITTED.exec(key)?.[1];
    if (calls !== undefined) tables.set(Number(calls), text);
  }
  return tables;
}

/**
 * The inputs and the outputs of a graph. An input that is also an initializer has a default and is left out.
 * @param {Uint8Array} graph
 */
function signature(graph) {
  /** @type {Map<string, Tensor>} */
  const inputs = new Map();
  /** @type {Map<string, Tensor>} */
  const outputs = new Map();
  const constants = [];
  for (const field of fields(graph)) {
    if (field.number === INPUT) inputs.set(...tensor(field.bytes));
    if (field.number === OUTPUT) outputs.set(...tensor(field.bytes));
    if (field.number === INITIALIZER) constants.push(decoded(within(field.bytes, TENSOR_NAME)));
  }
  for (const name of constants) inputs.delete(name);
  return { inputs, outputs };
}

/**
 * @param {Uint8Array} value a ValueInfoProto
 * @returns {[string, Tensor]}
 */
function tensor(value) {
  const kind = within(within(value, TYPE), TENSOR_TYPE);
  let type = 0;
  /** @type {(number | null)[]} */
  const shape = [];
  for (const field of fields(kind)) {
    if (field.number === ELEM_TYPE) type = field.value;
    if (field.number !== SHAPE) continue;
    for (const side of fields(field.bytes)) {
      if (side.number === DIM) shape.push([...fields(side.bytes)].find((part) => part.number === DIM_VALUE)?.value ?? null);
    }
  }
  return [decoded(within(value, NAME)), { type: TYPES[type] ?? `type ${type}`, shape }];
}

/**
 * The content of a field that a message must have.
 * @param {Uint8Array} message
 * @param {number} number
 */
function within(message, number) {
  for (const field of fields(message)) if (field.number === number) return field.bytes;
  throw new RangeError('a field is missing');
}

/**
 * The fields of a message.
 * @param {Uint8Array} content
 * @returns {Generator<{ number: number, bytes: Uint8Array, value: number }>}
 */
function* fields(content) {
  let at = 0;
  const varint = () => {
    let value = 0, scale = 1;
    for (;;) {
      if (at >= content.length) throw new RangeError('it is cut');
      const byte = content[at];
      at += 1;
      value += (byte & 127) * scale; // numbers beyond 2^53 are no length and no side
      if (byte < 128) return value;
      scale *= 128;
      if (scale > 2 ** 63) throw new RangeError('not a number of protobuf');
    }
  };
  for (let count = 0; at < content.length; count += 1) {
    if (count === MAX_FIELDS) throw new RangeError(`it has more than ${MAX_FIELDS} fields`);
    const key = varint(), wire = key % 8, number = Math.floor(key / 8);
    if (number === 0) throw new RangeError('a field has the number 0');
    if (wire === VARINT) {
      yield { number, bytes: content.subarray(0, 0), value: varint() };
      continue;
    }
    const size = wire === BYTES ? varint() : SCALARS[wire];
    if (size === undefined || at + size > content.length) throw new RangeError('it is cut, or no protobuf');
    yield { number, bytes: content.subarray(at, at + size), value: 0 };
    at += size;
  }
}

/** @param {Uint8Array | undefined} bytes */
function decoded(bytes) {
  if (bytes === undefined) return '';
  if (bytes.length > TEXT_BYTES) throw new RangeError(`an entry of its metadata is larger than ${TEXT_BYTES / 2 ** 20} MiB`);
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
}
