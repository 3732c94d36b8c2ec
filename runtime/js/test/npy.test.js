import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

import { readNpy } from '../page/npy.js';
import { fileOf, readAsJson } from './files.js';

/**
 * An .npy file of version 1.
 * @param {string} header
 * @param {Uint8Array} content
 */
function npy(header, content) {
  const text = `${header}${' '.repeat(64)}\n`, bytes = new Uint8Array(10 + text.length + content.length);
  bytes.set([0x93, ...new TextEncoder().encode('NUMPY'), 1, 0, text.length & 255, text.length >> 8]);
  bytes.set(new TextEncoder().encode(text), 10);
  bytes.set(content, 10 + text.length);
  return bytes.buffer;
}
const headerOf = (/** @type {string} */ type, shape = '2,', order = 'False') => `{'descr': '${type}', 'fortran_order': ${order}, 'shape': (${shape}), }`;

test("an array that NumPy wrote has NumPy's shape and numbers", async () => {
  const { buffer, byteOffset, length } = await readFile(fileOf('picture.npy'));
  const { inputs } = (await readAsJson('cases.json')).cases.find((/** @type {any} */ one) => one.name === 'mixed-ddim');
  const { shape, values } = readNpy(/** @type {ArrayBuffer} */ (buffer.slice(byteOffset, byteOffset + length)));
  assert.deepEqual([shape, values], [[1, 4, 6], Float32Array.from(inputs.image.flat(2))]);
});

test('types and orders of bytes', () => {
  const big = new DataView(new ArrayBuffer(16));
  big.setFloat64(0, 0.1);
  big.setFloat64(8, -2);
  assert.deepEqual(readNpy(npy(headerOf('>f8'), new Uint8Array(big.buffer))).values, Float64Array.of(0.1, -2));
  const large = new Uint8Array(BigInt64Array.of(2n ** 62n, -1n).buffer);
  assert.deepEqual(readNpy(npy(headerOf('<i8'), large)).values, BigInt64Array.of(2n ** 62n, -1n));
  assert.deepEqual(readNpy(npy(headerOf('|u1', ''), Uint8Array.of(255))), { shape: [], values: Int32Array.of(255) });
});

test('what is no array of numbers in C order is refused', () => {
  const two = new Uint8Array(8);
  const wrong = /** @type {[ArrayBuffer, RegExp][]} */ ([
    [new ArrayBuffer(4), /it is no .npy file/],
    [new ArrayBuffer(64), /it is no .npy file/],
    [npy(headerOf('<f2'), two), /its numbers must be/],
    [npy(headerOf('|O'), two), /its numbers must be/],
    [npy(headerOf('<f4', '2,', 'True'), two), /Fortran order/],
    [npy(headerOf('<f4'), two.subarray(1)), /it is cut, or too long/],
    [npy(headerOf('<f4'), new Uint8Array(9)), /it is cut, or too long/],
    [npy(headerOf('<f4', '99999999, 99999999'), two), /it is cut, or too long/],
  ]);
  for (const [content, message] of wrong) assert.throws(() => readNpy(content), { name: 'RangeError', message });
});
