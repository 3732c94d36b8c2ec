import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

import { exp } from '../src/exponential.js';
import { INITIAL_STEP, normal } from '../src/noise.js';
import { bits, compareChains, compareNoise } from './golden.js';

const GOLDEN = new URL('../../../tests/golden/', import.meta.url);
const read = (/** @type {string} */ name) => readFile(new URL(name, GOLDEN), 'utf8');

test('noise has the words and the bits of the golden file', async () => {
  assert.equal(await compareNoise(read, assert.deepEqual), 12 + 566);
});

test('every golden table ends in the bits of the golden file', async () => {
  assert.equal(await compareChains(read, assert.deepEqual), 15);
});

test('so does every golden table of format 2: other processes, shapes, fractional times, self-conditioning', async () => {
  assert.equal(await compareChains(read, assert.deepEqual, 2), 13);
});

test('a sample does not depend on its batch or on how its number is written', () => {
  const batch = normal('7', [39n, '40', 41], 3, 784);
  assert.deepEqual(bits(normal(7n, [40], 3, 784)), bits(batch.slice(784, 2 * 784)));
  assert.equal(normal(7, [0], INITIAL_STEP, 5).length, 5);
});

test('seeds and numbers that are not exact are refused', () => {
  for (const seed of [-1n, 1n << 64n, '18446744073709551616']) assert.throws(() => normal(seed, [0], 0, 4), RangeError);
  for (const seed of [2 ** 53, 1.5, '0x10', '-1', '', null]) {
    assert.throws(() => normal(/** @type {any} */ (seed), [0], 0, 4), TypeError);
  }
  for (const step of [-1, 2 ** 32, 0.5]) assert.throws(() => normal(0, [0], step, 4), RangeError);
});

test('the exponential is within 1.05 units in the last place, and right at its ends', () => {
  for (let place = 0; place <= 20_000; place += 1) {
    const x = Math.fround(-87 + (175 * place) / 20_000);
    const expected = Math.exp(x), unit = 2 ** (Math.floor(Math.log2(expected)) - 23);
    assert.ok(Math.abs(exp(x) - expected) <= 1.05 * unit, `exp(${x})`);
  }
  assert.deepEqual([exp(NaN), exp(-Infinity), exp(Infinity), exp(0), exp(-104), exp(90)], [NaN, 0, Infinity, 1, 0, Infinity]);
});
