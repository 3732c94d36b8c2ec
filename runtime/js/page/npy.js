/** Reads an .npy file: numbers of a fixed type in C order. */

/** @typedef {Float32Array | Float64Array | Int32Array | BigInt64Array} Numbers */

/** @type {Record<string, [number, (view: DataView, at: number, little: boolean) => number | bigint, new (values: any) => Numbers]>} */
const TYPES = {
  f4: [4, (view, at, little) => view.getFloat32(at, little), Float32Array],
  f8: [8, (view, at, little) => view.getFloat64(at, little), Float64Array],
  i4: [4, (view, at, little) => view.getInt32(at, little), Int32Array],
  i8: [8, (view, at, little) => view.getBigInt64(at, little), BigInt64Array],
  u1: [1, (view, at) => view.getUint8(at), Int32Array],
};
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const HEADER = /^\{'descr': '([<>|])([fiu][148])', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \}\s*$/;
const MAX_NUMBERS = 1 << 26;

/**
 * @param {ArrayBuffer} content
 * @returns {{ shape: number[], values: Numbers }}
 * @throws {RangeError} for anything else
 */
export function readNpy(content) {
  const bytes = new Uint8Array(content), view = new DataView(content);
  if (bytes.length < 12 || MAGIC.some((byte, at) => bytes[at] !== byte)) throw new RangeError('it is no .npy file');
  const start = bytes[6] === 1 ? 10 : 12, size = bytes[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const found = HEADER.exec(new TextDecoder('latin1').decode(bytes.subarray(start, start + size)));
  const type = found && TYPES[found[2]];
  if (!found || !type) throw new RangeError('its numbers must be float32, float64, int32, int64 or uint8');
  if (found[3] === 'True') throw new RangeError('its array is in Fortran order; save np.ascontiguousarray of it');
  const shape = found[4].split(',').map((side) => side.trim()).filter(Boolean).map(Number);
  const count = shape.reduce((product, side) => product * side, 1), [width, read, Array] = type;
  if (count > MAX_NUMBERS || start + size + count * width !== bytes.length) throw new RangeError('it is cut, or too long');
  const little = found[1] !== '>';
  return { shape, values: new Array(globalThis.Array.from({ length: count }, (_, i) => read(view, start + size + i * width, little))) };
}
