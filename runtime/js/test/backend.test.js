import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { relative } from 'node:path';
import test from 'node:test';

import { LIMIT, chooseBackend } from '../page/backend.js';
import { readCard } from '../src/card.js';
import { Sampler } from '../src/sampler.js';
import { readSteps } from '../src/steps_file.js';
import { launch, serve, skip } from './browser.js';
import { distance, fileOf, readAsJson, readFloats } from './files.js';

const GOLDEN = new URL('../../../tests/golden/', import.meta.url);
const card = readCard(await readFile(new URL('card.json', GOLDEN), 'utf8'));
const table = readSteps(await readFile(new URL('ddim.steps.json', GOLDEN), 'utf8'), card);
const GPU = { requestAdapter: async () => ({}) };

/** A sampler whose network gives `factor` times x, and whether it is open. @param {number} factor */
function standIn(factor) {
  const state = { open: true, calls: 0 };
  const network = (/** @type {Float32Array} */ x) => {
    state.calls += 1;
    return x.map((value) => factor * value);
  };
  return { state, sampler: new Sampler(network, card, table, async () => { state.open = false; }) };
}

/** @param {any} gpu @param {number} factor */
async function choice(gpu, factor) {
  const wasm = standIn(0.5), faster = standIn(factor);
  const chosen = await chooseBackend(gpu, async () => wasm.sampler, async () => faster.sampler);
  return { ...chosen, wasm, faster };
}

test('a GPU that computes the same first step runs the network, and WebAssembly is closed', async () => {
  const { sampler, name, reason, wasm, faster } = await choice(GPU, 0.5 * (1 + LIMIT / 100));
  assert.deepEqual([sampler === faster.sampler, name, reason], [true, 'WebGPU', '']);
  assert.deepEqual([wasm.state, faster.state], [{ open: false, calls: 1 }, { open: true, calls: 1 }]);
});

test('a GPU that computes another step, or NaN, is closed, and the reason is given', async () => {
  const { sampler, name, reason, wasm, faster } = await choice(GPU, 0.6);
  assert.deepEqual([sampler === wasm.sampler, name], [true, 'WebAssembly']);
  assert.match(reason, /^its first step is off by [0-9.]+e-[12]$/);
  assert.deepEqual([wasm.state.open, faster.state.open], [true, false]);
  assert.match((await choice(GPU, NaN)).reason, /not finite/);
});

test('without an adapter, or with one that computes on the CPU, the files for WebGPU are not loaded', async () => {
  const cases = /** @type {[any, RegExp][]} */ ([
    [undefined, /this browser does not have it/],
    [{ requestAdapter: async () => null }, /no GPU/],
    [{ requestAdapter: async () => ({ info: { isFallbackAdapter: true } }) }, /would run on the CPU/],
    [{ requestAdapter: async () => Promise.reject(new Error('blocked\nby a list')) }, /^blocked$/],
  ]);
  for (const [gpu, message] of cases) {
    const wasm = standIn(0.5);
    const chosen = await chooseBackend(gpu, async () => wasm.sampler, () => assert.fail('opened'));
    assert.match(chosen.reason, message);
    assert.deepEqual([chosen.sampler === wasm.sampler, wasm.state.open], [true, true]);
  }
});

test('a model that the GPU cannot open runs in WebAssembly, and one that WebAssembly cannot open is an error', async () => {
  const wasm = standIn(0.5), fails = async () => Promise.reject(new Error('no such operator'));
  assert.equal((await chooseBackend(GPU, async () => wasm.sampler, fails)).reason, 'no such operator');
  await assert.rejects(chooseBackend(GPU, fails, async () => wasm.sampler), /no such operator/);
});

test('ONNX Runtime draws the images of Python on a WebGPU adapter in software', { skip }, async (context) => {
  const { cases, seed, first, batch } = await readAsJson('cases.json');
  const [known] = cases.filter((/** @type {any} */ one) => one.name === 'mnist-ddim');
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  const [server, browser] = await Promise.all([serve(root), launch({ softwareGpu: true })]);
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}runtime/js/page/style.css`);
    const hasAdapter = await page.evaluate(async () => Boolean(await /** @type {any} */ (navigator).gpu?.requestAdapter()));
    if (!hasAdapter) return context.skip('NOT DONE: this Chromium has no WebGPU adapter in software');
    const { name, reason, images } = await page.evaluate(async (folder, known, request) => {
      const { Sampler } = await import(/** @type {any} */ ('/runtime/js/src/index.js'));
      const { chooseBackend } = await import(/** @type {any} */ ('/runtime/js/page/backend.js'));
      const openWith = async (/** @type {string} */ file, /** @type {string} */ provider) => {
        const ort = await import(`/runtime/js/node_modules/onnxruntime-web/dist/${file}`);
        ort.env.wasm.numThreads = 1;
        return Sampler.open(`${location.origin}${folder}/${known.model}`, `${location.origin}${folder}/${known.steps}`, { ort, session: { executionProviders: [provider] } });
      };
      const gpu = { requestAdapter: async () => ({}) }; // the page would refuse an adapter in software
      const chosen = await chooseBackend(gpu, () => openWith('ort.wasm.min.mjs', 'wasm'), () => openWith('ort.webgpu.min.mjs', 'webgpu'));
      return { name: chosen.name, reason: chosen.reason, images: [...(await chosen.sampler.images(request))] };
    }, `/${relative(root, fileOf(''))}`, known, { seed, first, count: 1, batch });
    assert.deepEqual([name, reason], ['WebGPU', '']);
    const expected = (await readFloats(`${known.name}.f32`)).slice(0, images.length);
    const off = distance(Float32Array.from(images), expected);
    assert.ok(off <= LIMIT, `off by ${off}`);
  } finally {
    await browser.close();
    server.close();
  }
});
