/** The page: reads what is asked for from its form and its URL, has the worker draw it, and shows it. */
import { InputFields } from './inputs.js';

/**
 * Facts about the site, which `ddpm-rt web` writes to site.json.
 * @typedef {object} Site
 * @property {string} title
 * @property {[number, number, number]} shape C, H, W
 * @property {number} steps
 * @property {number | null} classes
 * @property {number | null} nullClass
 * @property {import('./inputs.js').InputFacts[]} inputs what the visitor gives
 * @property {boolean} webgpu whether the site has the files for it
 */

const MOST = 16; // images at once
const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));
const canvas = /** @type {HTMLCanvasElement} */ (byId('canvas'));
const progress = /** @type {HTMLProgressElement} */ (byId('progress'));
const download = /** @type {HTMLAnchorElement} */ (byId('download'));
const stop = /** @type {HTMLButtonElement} */ (byId('stop'));
const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });

/** @type {Site} */
const site = await (await fetch('site.json')).json();
let request = 0; // number of the last one
let columns = 1;
let isOpen = false;
let asked = new URLSearchParams(); // the last request, as the URL has it
const fields = new InputFields(site.inputs, byId('labels-row'), () => draw());

/** Labels that a visitor may give: all classes but the null class. */
const shown = Array.from({ length: site.classes ?? 0 }, (_, label) => label).filter((label) => label !== site.nullClass);
const areDigits = shown.length === 10; // then the visitor writes a number

document.title = site.title;
byId('title').textContent = site.title;
if (site.classes !== null) {
  byId('labels-row').hidden = false;
  byId('labels-name').textContent = areDigits ? 'A number to write' : `Classes, 0 to ${site.classes - 1}, with commas`;
  byId('count-row').hidden = true;
  byId('guidance-row').hidden = site.nullClass === null;
  input('labels').value = areDigits ? '2026' : shown.slice(0, 4).join(',');
  input('labels').required = true;
}
readUrl();
byId('form').addEventListener('submit', (event) => {
  event.preventDefault();
  draw();
});
byId('next').addEventListener('click', () => {
  input('seed').value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  draw();
});
stop.addEventListener('click', () => worker.postMessage({ type: 'stop' }));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !stop.disabled) stop.click();
});
addEventListener('popstate', () => {
  readUrl();
  draw(false);
});
worker.addEventListener('message', ({ data }) => {
  if (data.type === 'ready') ready(data.backend);
  else if (data.type === 'broken') fail(data.message);
  else if (data.id === request) answer(data);
});
if ('serviceWorker' in navigator) navigator.serviceWorker.register('sw.js').catch(() => {}); // not on plain http
draw(false);

/** @param {string | undefined} backend what runs the network, on a site with WebGPU */
function ready(backend) {
  isOpen = true;
  byId('backend').textContent = backend ?? '';
  byId('backend').hidden = backend === undefined;
}

/** Fills the form from the URL. */
function readUrl() {
  const asked = new URLSearchParams(location.search);
  for (const [key, value] of asked) {
    if (['seed', 'count', 'guidance', 'labels'].includes(key)) input(key).value = value.slice(0, 60);
  }
  fields.fromUrl(asked);
}

/** The labels of the images in their order; null for a model without classes, undefined where one is wrong. */
function readLabels() {
  if (site.classes === null) return null;
  const text = input('labels').value.trim();
  const labels = (areDigits ? [...text] : text.split(',')).map((part) => (/^[0-9]+$/.test(part.trim()) ? Number(part) : NaN));
  const known = labels.length > 0 && labels.length <= MOST && labels.every((label) => label < /** @type {number} */ (site.classes));
  return known ? labels : undefined;
}

/** @param {boolean} isNew whether the URL gets an entry in the history */
function draw(isNew = true) {
  const labels = readLabels(), form = /** @type {HTMLFormElement} */ (byId('form'));
  const wrong = labels === undefined, inputs = fields.values();
  input('labels').setCustomValidity(wrong ? `Write 1 to ${MOST} ${areDigits ? 'digits' : 'classes'}` : '');
  if (!isNew && fields.missing.length) return finish(`Choose a file for ${fields.missing.join(' and ')}`);
  if (!form.reportValidity() || wrong) return;
  const count = labels?.length ?? Number(input('count').value), seed = input('seed').value;
  columns = labels ? Math.min(count, 8) : Math.ceil(Math.sqrt(count));
  asked = new URLSearchParams({ seed, ...(labels ? { labels: input('labels').value } : { count: String(count) }) });
  if (site.nullClass !== null) asked.set('guidance', input('guidance').value);
  fields.toUrl(asked);
  if (isNew) history.pushState(null, '', `?${asked}`);
  const [, height, width] = site.shape;
  canvas.width = columns * width;
  canvas.height = Math.ceil(count / columns) * height;
  canvas.setAttribute('aria-label', 'The images are being drawn');
  request += 1;
  progress.value = 0;
  stop.disabled = false;
  delete document.body.dataset.done;
  delete document.body.dataset.failed;
  download.setAttribute('aria-disabled', 'true');
  download.removeAttribute('href');
  byId('status').textContent = isOpen ? 'Drawing ...' : 'Loading the model ...';
  worker.postMessage({ type: 'draw', id: request, seed, first: '0', count, label: labels, inputs, guidance: Number(input('guidance').value) });
}

/** @param {any} data an answer of the worker to the last request */
function answer(data) {
  if (data.type === 'failed') fail(data.message);
  if (data.type === 'stopped') finish('Stopped');
  if (data.type !== 'step') return;
  const [, height, width] = site.shape;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  data.images.forEach((/** @type {Uint8ClampedArray<ArrayBuffer>} */ image, /** @type {number} */ place) => {
    context.putImageData(new ImageData(image, width, height), (place % columns) * width, Math.floor(place / columns) * height);
  });
  progress.value = data.done / data.total;
  byId('status').textContent = `Step ${data.done} of ${data.total}`;
  if (data.done === data.total) done(data.seconds);
}

/** @param {number} seconds */
function done(seconds) {
  const seed = input('seed').value, current = request;
  finish(`Done in ${seconds.toFixed(1)} s. This page's address ${fields.areInUrl ? 'draws' : 'and the same files draw'} the same images again.`);
  canvas.setAttribute('aria-label', `Images of seed ${seed}`);
  if (!location.search) history.replaceState(null, '', `?${asked}`);
  canvas.toBlob((blob) => {
    if (blob === null || current !== request) return;
    if (download.href) URL.revokeObjectURL(download.href);
    download.href = URL.createObjectURL(blob);
    download.download = `seed-${seed}.png`;
    download.setAttribute('aria-disabled', 'false');
    document.body.dataset.done = 'yes';
  });
}

/** @param {string} text */
function fail(text) {
  finish(text);
  document.body.dataset.failed = 'yes';
}

/** @param {string} text */
function finish(text) {
  byId('status').textContent = text;
  stop.disabled = true;
}
