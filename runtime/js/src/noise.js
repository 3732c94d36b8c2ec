/**
 * Gaussian noise as a function of (seed, sample, step, element), with the same bits as in every language.
 *
 * The definition, and its symbols, are in runtime/ddpm_rt/noise.py. A float32 operation is the double operation on
 * float32 values, rounded once more by Math.fround: for + - * / and the square root that equals a single rounding,
 * because a double has more than twice the digits.
 */

const f = Math.fround;
export const INITIAL_STEP = 0xffffffff; // the step of x_T
const LIMIT = 1n << 64n; // seeds and sample numbers are below it
const L0 = f(0.66666687), L1 = f(0.39988527), L2 = f(0.29587513);
const S0 = f(-0.16666664), S1 = f(0.008332662), S2 = f(-0.00019570084);
const C0 = f(-0.5), C1 = f(0.041666623), C2 = f(-0.0013885986), C3 = f(2.4267682e-5);
export const LN2_HIGH = f(0.693359375), LN2_LOW = f(-2.1219444e-4);
const TURN = f(3.7450704e-7); // 2 pi / 2^24
const ROOT_HALF = 0x3504f3; // the mantissa bits of sqrt(1/2)

/** @typedef {bigint | number | string} Whole A seed or a sample number: a BigInt, a safe integer, or decimal digits. */

/**
 * A seed or a sample number as a BigInt.
 * @param {Whole} value
 * @param {string} name for the message
 * @returns {bigint}
 * @throws {RangeError} unless it lies in [0, 2^64)
 * @throws {TypeError} for a number that is not exact, or a string that is not digits
 */
export function wholeNumber(value, name) {
  if (typeof value === 'number' ? !Number.isSafeInteger(value) : typeof value === 'string' ? !/^[0-9]{1,20}$/.test(value) : typeof value !== 'bigint') {
    throw new TypeError(`${name} must be a BigInt, a safe integer or decimal digits, not ${String(value).slice(0, 40)}`);
  }
  const whole = BigInt(value);
  if (whole < 0n || whole >= LIMIT) throw new RangeError(`${name} must lie in [0, 2^64), not ${whole}`);
  return whole;
}

/**
 * Standard normals, float32 `[samples.length * size]`, for one step of the samples with these numbers.
 * @param {Whole} seed
 * @param {readonly Whole[]} samples
 * @param {number} step a row of the step table, or INITIAL_STEP
 * @param {number} size of one sample
 * @param {Float32Array} [out] is filled and returned, instead of a new array
 * @returns {Float32Array}
 * @throws {RangeError} unless seed and samples lie in [0, 2^64) and step in [0, 2^32)
 */
export function normal(seed, samples, step, size, out = new Float32Array(samples.length * size)) {
  const key = wholeNumber(seed, 'seed');
  if (!Number.isInteger(step) || step < 0 || step > INITIAL_STEP) throw new RangeError(`step must lie in [0, 2^32), not ${step}`);
  if (!Number.isInteger(size) || size < 0) throw new RangeError(`size must be a count, not ${size}`);
  if (out.length !== samples.length * size) throw new RangeError(`out must hold ${samples.length * size} numbers`);
  const k0 = Number(key & 0xffffffffn) | 0, k1 = Number(key >> 32n) | 0;
  samples.forEach((sample, place) => {
    const number = wholeNumber(sample, 'sample');
    fill(out, place * size, size, step | 0, Number(number & 0xffffffffn) | 0, Number(number >> 32n) | 0, k0, k1);
  });
  return out;
}

const words = new Int32Array(4);
const pair = new Float32Array(2);

/**
 * @param {Float32Array} out
 * @param {number} start
 * @param {number} size
 * @param {number} step
 * @param {number} low
 * @param {number} high
 * @param {number} k0
 * @param {number} k1
 */
function fill(out, start, size, step, low, high, k0, k1) {
  for (let element = 0; element < size; element += 4) {
    philox(element >>> 2, step, low, high, k0, k1);
    for (let half = 0; half < 4 && element + half < size; half += 2) {
      boxMuller(words[half], words[half + 1]);
      out[start + element + half] = pair[0];
      if (element + half + 1 < size) out[start + element + half + 1] = pair[1];
    }
  }
}

/**
 * The words of a counter and a key, for tests against published answers.
 * @param {readonly number[]} counter four words
 * @param {readonly number[]} key two words
 * @returns {number[]} four words, unsigned
 */
export function philox4x32(counter, key) {
  philox(counter[0], counter[1], counter[2], counter[3], key[0] | 0, key[1] | 0);
  return Array.from(words, (word) => word >>> 0);
}

/**
 * Part 1 of the definition: fills `words`.
 * @param {number} c0
 * @param {number} c1
 * @param {number} c2
 * @param {number} c3
 * @param {number} k0
 * @param {number} k1
 */
function philox(c0, c1, c2, c3, k0, k1) {
  for (let round = 0; round < 10; round += 1) {
    const high0 = highWord(0xd251, 0x1f53, c0), low0 = Math.imul(0xd2511f53, c0);
    const high1 = highWord(0xcd9e, 0x8d57, c2), low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

/**
 * The upper 32 bits of (high 2^16 + low) times a word: no partial sum below exceeds 32 bits.
 * @param {number} high
 * @param {number} low
 * @param {number} word
 */
function highWord(high, low, word) {
  const upper = word >>> 16, lower = word & 0xffff;
  const middle = (Math.imul(low, upper) >>> 0) + (Math.imul(low, lower) >>> 16);
  const other = (Math.imul(high, lower) >>> 0) + (middle & 0xffff);
  return (Math.imul(high, upper) + (middle >>> 16) + (other >>> 16)) | 0;
}

/**
 * Parts 2 to 4 of the definition: fills `pair` from two words.
 * @param {number} word
 * @param {number} turn
 */
function boxMuller(word, turn) {
  const radius = f(Math.sqrt(f(-2 * ln((word >>> 8) + 1))));
  const n = turn >>> 8;
  const q = (n + (1 << 21)) >> 22;
  const r = f((n - q * (1 << 22)) * TURN), z = f(r * r);
  const sine = f(r + f(f(r * z) * f(S0 + f(z * f(S1 + f(z * S2))))));
  const cosine = f(1 + f(z * f(C0 + f(z * f(C1 + f(z * f(C2 + f(z * C3))))))));
  const quadrant = q & 3;
  const first = quadrant & 1 ? sine : cosine, second = quadrant & 1 ? cosine : sine;
  pair[0] = radius * (quadrant === 1 || quadrant === 2 ? -first : first);
  pair[1] = radius * (quadrant >= 2 ? -second : second);
}

/**
 * Part 3: ln(n 2^-24) for a whole n in [1, 2^24], whose exponent and mantissa are read from the integer.
 * @param {number} n
 */
function ln(n) {
  const exponent = 31 - Math.clz32(n);
  const mantissa = exponent === 24 ? 0 : (n << (23 - exponent)) & 0x7fffff;
  const above = mantissa >= ROOT_HALF;
  const k = exponent - 24 + (above ? 1 : 0);
  const m = (mantissa + 0x800000) * (above ? 1 / 0x1000000 : 1 / 0x800000); // exact
  const d = m - 1; // exact, as m lies between 1/2 and 2
  const s = f(d / f(2 + d)), z = f(s * s);
  const p = f(L0 + f(z * f(L1 + f(z * L2))));
  return f(f(k * LN2_HIGH) + f(f(k * LN2_LOW) + f(s * f(2 + f(z * p)))));
}
