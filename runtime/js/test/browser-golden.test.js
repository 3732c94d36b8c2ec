import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { relative } from 'node:path';
import test, { after, before } from 'node:test';

import { launch, serve, skip } from './browser.js';
import { distance, fileOf, readAsJson, readFloats } from './files.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const TOLERANCE = 1e-4; // WebAssembly sums the network's terms in an order of its own
/** @type {Awaited<ReturnType<typeof serve>>} */
let server;
/** @type {Awaited<ReturnType<typeof launch>>} */
let browser;

before(async () => {
  if (!skip) [server, browser] = await Promise.all([serve(ROOT), launch()]);
});
after(async () => {
  await browser?.close();
  server?.close();
});

test('noise and every golden table have the bits of the golden files in Chromium', { skip }, async () => {
  const page = await browser.newPage();
  await page.goto(`${server.url}runtime/js/page/style.css`);
  const found = await page.evaluate(async () => {
    const golden = await import(/** @type {any} */ ('/runtime/js/test/golden.js'));
    const read = async (/** @type {string} */ name) => (await fetch(`/tests/golden/${name}`)).text();
    const equal = (/** @type {number[]} */ a, /** @type {number[]} */ b, /** @type {string} */ what) => {
      if (a.length !== b.length || a.some((value, i) => value !== b[i])) throw new Error(`${what} differs`);
    };
    return [await golden.compareNoise(read, equal), await golden.compareChains(read, equal), await golden.compareChains(read, equal, 2)];
  });
  assert.deepEqual(found, [12 + 566, 15, 13]);
});

test("the bundled model's images in WebAssembly are those of Python", { skip }, async () => {
  const { cases, seed, first, count, batch } = await readAsJson('cases.json');
  const [known] = cases.filter((/** @type {any} */ one) => one.name === 'mnist-ddpm');
  const page = await browser.newPage();
  await page.goto(`${server.url}runtime/js/page/style.css`);
  const files = `/${relative(ROOT, fileOf(''))}`;
  const found = await page.evaluate(async (files, known, request) => {
    const { Sampler } = await import(/** @type {any} */ ('/runtime/js/src/index.js'));
    const ort = await import(/** @type {any} */ ('/runtime/js/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs'));
    ort.env.wasm.numThreads = 1;
    const sampler = await Sampler.open(`${location.origin}${files}/${known.model}`, `${location.origin}${files}/${known.steps}`, { ort });
    return [...(await sampler.images(request))];
  }, files, known, { seed, first, count, batch });
  const off = distance(Float32Array.from(found), await readFloats(`${known.name}.f32`));
  assert.ok(off <= TOLERANCE, `off by ${off}`);
});
