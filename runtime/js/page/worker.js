/** The worker of the page: it opens the model and draws, so that the page stays responsive. */
import { toRgba } from '../src/pixels.js';
import { Sampler } from '../src/sampler.js';
import { chooseBackend } from './backend.js';

/**
 * @typedef {object} DrawMessage
 * @property {number} id of the request; each answer carries it
 * @property {string} seed
 * @property {string} first
 * @property {number} count
 * @property {number[] | null} label
 * @property {number} guidance
 * @property {Record<string, import('../src/inputs.js').Given>} inputs
 */

const PREVIEW_MS = 60; // between two previews
const MAX_THREADS = 4;
/** @type {AbortController | null} */
let running = null;
const root = new URL('..', import.meta.url);
const opened = open();

async function open() {
  const site = await (await fetch(new URL('site.json', root))).json();
  const openWasm = () => openWith('ort.wasm.min.mjs', 'wasm');
  if (!site.webgpu) {
    const sampler = await openWasm();
    postMessage({ type: 'ready' });
    return sampler;
  }
  const { gpu } = /** @type {{ gpu?: import('./backend.js').Gpu }} */ (navigator);
  const { sampler, name, reason } = await chooseBackend(gpu, openWasm, () => openWith('ort.webgpu.min.mjs', 'webgpu'));
  postMessage({ type: 'ready', backend: reason ? `The network runs on ${name}, without WebGPU: ${reason}.` : `The network runs on ${name}.` });
  return sampler;
}

/**
 * @param {string} file of ONNX Runtime
 * @param {string} provider
 */
async function openWith(file, provider) {
  const ort = await import(new URL(`ort/${file}`, root).href);
  ort.env.wasm.wasmPaths = new URL('ort/', root).href;
  // Threads need memory that workers share, which a browser gives only to a page that is cross-origin isolated.
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.max(1, Math.min(MAX_THREADS, navigator.hardwareConcurrency >> 1)) : 1;
  return Sampler.open(new URL('model.onnx', root), new URL('steps.json', root), { ort, session: { executionProviders: [provider] } });
}
opened.catch((error) => postMessage({ type: 'broken', message: error.message }));

addEventListener('message', ({ data }) => {
  running?.abort();
  running = null;
  if (data.type === 'draw') draw(data).catch((error) => postMessage({ type: 'failed', id: data.id, message: error.message }));
});

/** @param {DrawMessage} asked */
async function draw({ id, ...request }) {
  const sampler = await opened;
  const controller = new AbortController();
  running = controller;
  const started = performance.now();
  let shown = 0;
  try {
    for await (const step of sampler.sample({ ...request, batch: request.count, signal: controller.signal })) {
      const now = performance.now();
      const due = step.last || now - shown >= PREVIEW_MS;
      if (due) shown = now;
      const images = due ? step.samples.map((_, image) => toRgba(step.last ? step.x : step.x0, sampler.card.imageShape, image)) : [];
      postMessage({ type: 'step', id, done: step.done, total: step.total, last: step.last, seconds: (now - started) / 1000, images }, images.map((image) => image.buffer));
      await new Promise((resolve) => setTimeout(resolve)); // lets a message to stop arrive
    }
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    postMessage({ type: 'stopped', id });
  } finally {
    if (running === controller) running = null;
  }
}
