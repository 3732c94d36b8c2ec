/** Chooses what runs the network of a site with WebGPU: the GPU, where it computes what WebAssembly computes, else the CPU. */

/** @typedef {import('../src/sampler.js').Sampler} Sampler */
/** @typedef {{ requestAdapter: () => Promise<null | { info?: { isFallbackAdapter?: boolean } }> }} Gpu what is used of navigator.gpu */

/**
 * @typedef {object} Backend
 * @property {Sampler} sampler
 * @property {'WebGPU' | 'WebAssembly'} name
 * @property {string} reason why it is not WebGPU; '' where it is
 */

/** The largest difference of x after the first step, over the largest x: both sum in float32, in orders of their own. */
export const LIMIT = 1e-3;

/**
 * @param {Gpu | undefined} gpu navigator.gpu
 * @param {() => Promise<Sampler>} openWasm
 * @param {() => Promise<Sampler>} openWebGpu
 * @returns {Promise<Backend>}
 * @throws what `openWasm` throws: a model that WebAssembly cannot run is not drawn
 */
export async function chooseBackend(gpu, openWasm, openWebGpu) {
  const wasm = await openWasm();
  /** @type {Sampler | undefined} */
  let faster;
  try {
    await requireAdapter(gpu);
    faster = await openWebGpu();
    const off = difference(await firstStep(faster), await firstStep(wasm));
    if (!(off <= LIMIT)) throw new Error(`its first step is off by ${off.toExponential(1)}`);
  } catch (error) {
    await faster?.close().catch(() => {});
    return { sampler: wasm, name: 'WebAssembly', reason: String(error instanceof Error ? error.message : error).split('\n')[0].slice(0, 200) };
  }
  await wasm.close();
  return { sampler: faster, name: 'WebGPU', reason: '' };
}

/** @param {Gpu | undefined} gpu */
async function requireAdapter(gpu) {
  if (gpu === undefined) throw new Error('this browser does not have it');
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error('no GPU that it could use');
  if (adapter.info?.isFallbackAdapter) throw new Error('it would run on the CPU');
}

/**
 * x after the first step of one sample.
 * @param {Sampler} sampler
 */
async function firstStep(sampler) {
  const { classes, inputs: known } = sampler.card, label = classes === null ? null : 0;
  const inputs = Object.fromEntries([...known].filter(([, { role }]) => role === 'condition').map(([name]) => [name, 0]));
  for await (const step of sampler.sample({ seed: 0, count: 1, label, inputs })) return step.x.slice();
  throw new Error('the table has no step');
}

/**
 * NaN where a value is not finite.
 * @param {Float32Array} found
 * @param {Float32Array} expected
 */
function difference(found, expected) {
  let off = 0, most = 1;
  expected.forEach((value, i) => {
    const here = Math.abs(found[i] - value);
    off = Number.isNaN(here) || here > off ? here : off;
    most = Math.max(most, Math.abs(value));
  });
  return off / most;
}
