/**
 * Measures this package for scripts/contract_table.py:
 *
 *     node contract.mjs node|chromium MODEL STEPS SEED FIRST COUNT LABELS OUT
 *
 * Prints one JSON object, and writes the images to OUT.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { compareChains } from './golden.js';
import { exp, normal, Sampler } from '../src/index.js';
import { sha256 } from '../src/sha256.js';

const ROOT = new URL('../../../', import.meta.url);
const [where, model, steps, seed, first, count, labels, out] = process.argv.slice(2);
const request = { seed, first, count: Number(count), label: labels ? labels.split(',').map(Number) : null };
const contents = await Promise.all([readFile(model), readFile(steps)]);

/**
 * Runs in Node, and as text in a page.
 * @param {any} library
 * @param {any} hash
 * @param {any} golden
 * @param {any} ort
 * @param {Uint8Array[]} files
 * @param {any} asked
 * @param {(name: string) => Promise<string>} read
 */
async function measure(library, hash, golden, ort, files, asked, read) {
  const bytes = (/** @type {Float32Array} */ values) => new Uint8Array(values.buffer);
  const patterns = new Float32Array(Uint32Array.from({ length: 2 ** 20 }, (_, i) => (i * 4093) >>> 0).buffer);
  const equal = (/** @type {number[]} */ a, /** @type {number[]} */ b) => {
    if (a.join() !== b.join()) throw new Error('a golden chain differs');
  };
  const samples = [0n, 1n, 2n, 3n].map((place) => (1n << 32n) - 2n + place);
  const sampler = await library.Sampler.open(files[0], files[1], { ort });
  const images = await sampler.images(asked);
  const median = async (/** @type {() => any} */ run) => {
    const times = [];
    for (let repeat = 0; repeat < 5; repeat += 1) {
      const started = performance.now();
      await run();
      times.push(performance.now() - started);
    }
    return times.sort((a, b) => a - b)[2];
  };
  const drawn = samples.slice(0, asked.count);
  const size = images.length / asked.count;
  const noise = () => { for (let step = 0; step < 100; step += 1) library.normal(0n, drawn, step, size); };
  await noise();
  return {
    noise: hash.sha256(bytes(library.normal((1n << 64n) - 5n, samples, 5, 2 ** 18))),
    exp: hash.sha256(bytes(patterns.map((x) => library.exp(Number.isNaN(x) ? 1 : x)))),
    chains: [await golden.compareChains(read, equal, 1), await golden.compareChains(read, equal, 2)],
    images: [...images],
    ms: await median(() => sampler.images(asked)),
    noiseMs: (await median(noise)) / 100,
  };
}

async function inNode() {
  const ort = (await import('onnxruntime-node')).default;
  const read = (/** @type {string} */ name) => readFile(new URL(`tests/golden/${name}`, ROOT), 'utf8');
  return measure({ Sampler, exp, normal }, { sha256 }, { compareChains }, ort, contents, request, read);
}

async function inChromium() {
  const { launch, serve, skip } = await import('./browser.js');
  if (skip) throw new Error('Chromium is not installed');
  const [server, browser] = await Promise.all([serve(fileURLToPath(ROOT)), launch()]);
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}runtime/js/page/style.css`);
    return await page.evaluate(async (source, encoded, asked) => {
      const load = (/** @type {string} */ name) => import(`/runtime/js/${name}`);
      const ort = await load('node_modules/onnxruntime-web/dist/ort.wasm.min.mjs');
      ort.env.wasm.numThreads = 1;
      const files = encoded.map((text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
      const read = async (/** @type {string} */ name) => (await fetch(`/tests/golden/${name}`)).text();
      const run = new Function(`return ${source}`)();
      return run(await load('src/index.js'), await load('src/sha256.js'), await load('test/golden.js'), ort, files, asked, read);
    }, measure.toString(), contents.map((content) => content.toString('base64')), request);
  } finally {
    await browser.close();
    server.close();
  }
}

const { images, ...found } = await (where === 'chromium' ? inChromium() : inNode());
await writeFile(out, Float32Array.from(images));
console.log(JSON.stringify(found));
