/**
 * exp(x) in float32 with the same bits in every language: the definition, and its symbols, are in
 * runtime/ddpm_rt/exponential.py.
 */
import { LN2_HIGH, LN2_LOW } from './noise.js';

const f = Math.fround;
const E0 = f(0.5), E1 = f(0.16666578), E2 = f(0.041666444), E3 = f(0.008363102), E4 = f(0.0013937084);
const LOG2_E = f(1.442695), MAGIC = 12582912; // 1.5 * 2^23
const LOWEST = -104, HIGHEST = 89;
const LEAST = -80; // exponent of the first of the powers of two, which reach beyond what exp needs
const POWERS = new Float64Array(160);
for (let place = 0, power = 1 / 2 ** 40 / 2 ** 40; place < POWERS.length; place += 1, power *= 2) POWERS[place] = power;

/**
 * e to the power of x, which is a float32.
 * @param {number} x
 * @returns {number} a float32; NaN for NaN
 */
export function exp(x) {
  if (Number.isNaN(x)) return x;
  const v = x < LOWEST ? LOWEST : x > HIGHEST ? HIGHEST : x;
  const k = f(f(f(v * LOG2_E) + MAGIC) - MAGIC);
  const r = f(f(v - f(k * LN2_HIGH)) - f(k * LN2_LOW));
  const p = f(1 + f(r + f(f(r * r) * f(E0 + f(r * f(E1 + f(r * f(E2 + f(r * f(E3 + f(r * E4)))))))))));
  const j = k + 256, h = j >> 1; // neither is negative
  return f(f(p * POWERS[h - 128 - LEAST]) * POWERS[j - h - 128 - LEAST]);
}
