/** The files of tests/golden as the tests of this package compare them, in Node and in a browser. */
import { readCard } from '../src/card.js';
import { conditioned } from '../src/conditioned.js';
import { sizeOf } from '../src/facts.js';
import { parseJson } from '../src/json.js';
import { normal, philox4x32 } from '../src/noise.js';
import { trajectory } from '../src/host_loop.js';
import { readSteps } from '../src/steps_file.js';

/** @typedef {(name: string) => Promise<string>} ReadText a file of tests/golden by its name */

export const bits = (/** @type {Float32Array} */ values) => [...new Uint32Array(values.buffer, values.byteOffset, values.length)];

/**
 * Compares noise.json; `equal` throws where two lists differ.
 * @param {ReadText} read
 * @param {(found: number[], expected: number[], what: string) => void} equal
 * @returns {Promise<number>} how many values were compared
 */
export async function compareNoise(read, equal) {
  const golden = /** @type {any} */ (parseJson(await read('noise.json')));
  let compared = 0;
  for (const { counter, key, words } of golden.words) {
    equal(philox4x32(counter.map(Number), key.map(Number)), words.map(Number), 'words');
    compared += words.length;
  }
  for (const known of golden.normals) {
    const found = normal(known.seed, [known.sample], Number(known.step), known.bits.length);
    equal(bits(found), known.bits.map(Number), `normals of seed ${known.seed}`);
    compared += known.bits.length;
  }
  return compared;
}

/**
 * Compares the chain of every `*.steps.json`, for the network `answer` of scripts/make_golden.py.
 * @param {ReadText} read
 * @param {(found: number[], expected: number[], what: string) => void} equal
 * @param {1 | 2} [format] of the cards and the steps files
 * @returns {Promise<number>} how many chains were compared
 */
export async function compareChains(read, equal, format = 1) {
  const folder = format === 2 ? 'format2/' : '';
  const golden = /** @type {any} */ (parseJson(await read(`${folder}chains.json`)));
  const samples = Array.from({ length: Number(golden.count) }, (_, place) => golden.first + BigInt(place));
  for (const known of golden.chains) {
    const card = readCard(format === 2 ? await read(`${folder}${known.name}.card.json`) : cardText(await read('card.json'), known.name));
    const { table, clip, initialScale } = readSteps(await read(`${folder}${known.name}.steps.json`), card, known.name);
    let row = 0;
    /** @type {import('../src/conditioned.js').LabelledDenoiser} */
    const engine = (x, t, batch, labels, inputs) => {
      const size = (x.length / batch / card.imageShape[0]) * card.outputChannels;
      const out = Float32Array.from({ length: batch * size }, (_, i) => answer(row, Math.floor(i / size) % samples.length, i % size, labels?.[Math.floor(i / size)] ?? 0));
      row += 1;
      const before = /** @type {Float32Array | undefined} */ (inputs?.get('before'));
      return before === undefined ? out : out.map((value, i) => value + Math.fround(0.5 * before[i]));
    };
    const guided = card.classes === null ? {} : { guidance: Number(golden.guidance), nullClass: card.nullClass, size: sizeOf(card.imageShape) };
    const labels = card.classes === null ? undefined : golden.labels.map(Number);
    const denoise = conditioned(engine, { labels, prevX0: card.prevX0 }, guided);
    const selfConditioned = card.prevX0 !== null;
    let last;
    for await (const step of trajectory(denoise, table, card.imageShape, { seed: golden.seed, samples, clip, initialScale, selfConditioned })) last = step;
    if (last === undefined) throw new Error('no step');
    equal(bits(last.x), known.x.map(Number), `${known.name}: x`);
    equal(bits(last.x0), known.x0.map(Number), `${known.name}: x0`);
  }
  return golden.chains.length;
}

/**
 * @param {number} row
 * @param {number} image
 * @param {number} place
 * @param {number} label
 */
function answer(row, image, place, label) {
  return (((31 * row + 17 * place + 5 * image + 7 * label) % 41) - 20) / 16;
}

/** What scripts/make_golden.py changes in card.json for a chain, in its text. @type {Record<string, [string, string][]>} */
const CHANGES = {
  'ddpm-large': [['"fixed_small"', '"fixed_large"']],
  'ddpm-learned': [['"fixed_small"', '"learned"']],
  'ddpm-learned-range': [['"fixed_small"', '"learned_range"']],
  'ddpm-x0': [['"prediction": "eps"', '"prediction": "x0"']],
  'ddpm-v-unclipped': [['"prediction": "eps"', '"prediction": "v"'], ['[-1.0, 1.0]', 'null']],
  guided: [['"classes": null', '"classes": 3'], ['"null_class": null', '"null_class": 2'], ['"out": "out"', '"out": "out", "y": "y"']],
};

/**
 * The text of the card that a chain was compiled for.
 * @param {string} text of card.json
 * @param {string} chain
 */
export function cardText(text, chain) {
  return (CHANGES[chain] ?? []).reduce((changed, [from, to]) => changed.replace(from, to), text);
}
