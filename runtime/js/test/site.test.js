import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { toRgba } from '../src/pixels.js';
import { Sampler } from '../src/sampler.js';
import { launch, serve, skip } from './browser.js';
import { fileOf, readAsJson } from './files.js';

/** @typedef {import('puppeteer-core').Page} Page */
const WAIT = { timeout: 300_000 };
/** @type {Awaited<ReturnType<typeof launch>>} */
let browser;
/** @type {Awaited<ReturnType<typeof serve>>} */
let digits;
/** @type {Awaited<ReturnType<typeof serve>>} */
let labelled;

before(async () => {
  if (skip) return;
  await mkdir(fileOf('screenshots'), { recursive: true });
  [browser, digits, labelled] = await Promise.all([launch(), serve(fileOf('site')), serve(fileOf('labelled-site'))]);
});
after(async () => {
  await browser?.close();
  digits?.close();
  labelled?.close();
});

/** @param {Page} page */
const done = (page) => page.waitForFunction(() => document.body.dataset.done === 'yes', WAIT);
/** @param {Page} page */
const pixels = (page) => page.$eval('#canvas', (canvas) => {
  const { width, height } = /** @type {HTMLCanvasElement} */ (canvas);
  const image = /** @type {CanvasRenderingContext2D} */ (/** @type {HTMLCanvasElement} */ (canvas).getContext('2d')).getImageData(0, 0, width, height);
  return { width, height, data: [...image.data] };
});
/** @param {Page} page @param {string} name */
const screenshot = (page, name) => page.screenshot({ path: /** @type {`${string}.png`} */ (fileOf(`screenshots/${name}.png`)) });

/** A page that fails the test for an error in it or a request to another host. */
async function newPage(url = '', { width = 1000, height = 900 } = {}) {
  const page = await browser.newPage();
  /** @type {string[]} */
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => {
    if (!/^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(request.url())) problems.push(request.url());
  });
  await page.setViewport({ width, height });
  await page.goto(url, WAIT);
  return { page, problems };
}

test('the first picture is there without a click, and is that of the library', { skip }, async () => {
  const { page, problems } = await newPage(`${digits.url}?seed=7&labels=73`);
  await done(page);
  await screenshot(page, 'first-picture');
  const found = await pixels(page);
  const sampler = await Sampler.open(fileOf('mnist.onnx'), fileOf('mnist-ddim.steps.json'));
  const expected = toRgba(await sampler.images({ seed: 7, count: 2, label: [7, 3] }), sampler.card.imageShape, 1);
  assert.deepEqual([found.width, found.height], [56, 28]);
  for (let y = 0; y < 28; y += 1) {
    for (let x = 0; x < 28; x += 1) {
      const off = Math.abs(found.data[4 * (56 * y + 28 + x)] - expected[4 * (28 * y + x)]);
      assert.ok(off <= 1, `the second image at ${x}, ${y} is off by ${off}`); // WebAssembly rounds otherwise
    }
  }
  assert.deepEqual(problems, []);
});

test('the keyboard alone draws another seed, and the address of it gives the same picture', { skip }, async () => {
  const { page, problems } = await newPage(digits.url);
  await done(page);
  await page.focus('#seed');
  await page.keyboard.down('Control');
  await page.keyboard.press('a');
  await page.keyboard.up('Control');
  await page.keyboard.type('18446744073709551615');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'guidance');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.body.dataset.done === undefined || location.search.includes('1844'), WAIT);
  await done(page);
  const drawn = await pixels(page), url = page.url();
  assert.match(url, /\?seed=18446744073709551615&labels=2026&guidance=1$/);
  const href = await page.$eval('#download', (link) => [link.getAttribute('download'), link.getAttribute('href')]);
  assert.match(href.join(' '), /^seed-18446744073709551615\.png blob:/);
  const again = await newPage(url);
  await done(again.page);
  assert.deepEqual(await pixels(again.page), drawn);
  assert.deepEqual([...problems, ...again.problems], []);
});

test('a phone shows everything without scrolling sideways', { skip }, async () => {
  const { page } = await newPage(digits.url, { width: 360, height: 740 });
  await done(page);
  await screenshot(page, 'phone');
  const sides = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(sides[0] <= sides[1], `${sides}`);
  const small = await page.$$eval('button, input, a', (all) => all.filter((one) => /** @type {HTMLElement} */ (one).offsetHeight > 0 && /** @type {HTMLElement} */ (one).offsetHeight < 44).map((one) => one.id));
  assert.deepEqual(small, []);
});

test('after the first visit the site works offline, isolated for threads', { skip }, async () => {
  const { page } = await newPage(digits.url);
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null, WAIT);
  digits.close();
  await page.goto(`${digits.url}?seed=3&count=1`, WAIT);
  await done(page);
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
});

test('first-picture.mjs measures a site, and says why one draws nothing', { skip }, async () => {
  const script = fileURLToPath(new URL('first-picture.mjs', import.meta.url)), run = promisify(execFile);
  const { stdout } = await run(process.execPath, [script, fileOf('site'), '2']);
  assert.match(stdout, /^\S+: [0-9.]+ MB in [0-9]+ files, [0-9.]+ MB with gzip\n(first picture after [0-9.]+ s, Done in [0-9.]+ s\. .*\n){2}$/);
  const broken = fileOf('broken-site');
  await rm(broken, { recursive: true, force: true });
  await cp(fileOf('labelled-site'), broken, { recursive: true });
  await writeFile(`${broken}/model.onnx`, 'none');
  await assert.rejects(run(process.execPath, [script, broken, '1']), /draws nothing: .*model.onnx is not a whole ONNX model/);
  await assert.rejects(run(process.execPath, [script, fileOf('conditioned-site')]), /waits for a file of its visitor/);
  await assert.rejects(run(process.execPath, [script]), /usage/);
});

test('a site with WebGPU says what runs the network, and why', { skip }, async () => {
  const server = await serve(fileOf('webgpu-site'));
  try {
    const { page, problems } = await newPage(server.url);
    await done(page);
    const said = await page.$eval('#backend', (line) => [line.textContent, String(/** @type {HTMLElement} */ (line).hidden)]);
    assert.match(said[0] ?? '', /^The network runs on WebAssembly, without WebGPU: (no GPU that it could use|this browser does not have it)\.$/);
    assert.equal(said[1], 'false');
    assert.deepEqual(problems, []);
  } finally {
    server.close();
  }
});

test('a visitor gives numbers, an array or a picture, and the images are those of the library', { skip }, async () => {
  const server = await serve(fileOf('conditioned-site'));
  try {
    const { page, problems } = await newPage(`${server.url}?seed=7&count=3&input.number=20,-30`, { width: 360, height: 740 });
    const status = () => page.$eval('#status', (line) => line.textContent);
    assert.equal(await status(), 'Choose a file for image');
    const [file, number] = [await page.$('[data-input=image]'), await page.$('[data-input=number]')];
    const upload = (/** @type {string} */ name) => /** @type {import('puppeteer-core').ElementHandle<HTMLInputElement>} */ (file).uploadFile(fileOf(name));
    const message = () => file?.evaluate((field) => /** @type {HTMLInputElement} */ (field).validationMessage);
    await upload('low-picture.png');
    await page.waitForFunction(() => !/** @type {HTMLInputElement} */ (document.querySelector('[data-input=image]')).checkValidity(), WAIT);
    assert.equal(await message(), 'low-picture.png: it is 6 × 3, but must be 6 × 4');
    await upload('picture.png');
    await done(page);
    await screenshot(page, 'inputs');
    assert.match((await status()) ?? '', /This page's address and the same files draw the same images again\.$/);
    assert.match(page.url(), /\?seed=7&count=3&input\.number=20%2C-30$/);
    const found = await pixels(page), sampler = await Sampler.open(fileOf('mixed.onnx'), fileOf('mixed-ddim.steps.json'));
    const { inputs } = (await readAsJson('cases.json')).cases.find((/** @type {any} */ one) => one.name === 'mixed-ddim');
    const images = await sampler.images({ seed: 7, count: 3, inputs: { image: Float32Array.from(inputs.image.flat(2)), number: [20, -30] } });
    for (const [image, left, top] of [[0, 0, 0], [1, 6, 0], [2, 0, 4]]) {
      const expected = toRgba(images, sampler.card.imageShape, image);
      for (let i = 0; i < expected.length; i += 1) {
        const at = 4 * ((top + Math.floor(i / 24)) * found.width + left) + (i % 24);
        assert.ok(Math.abs(found.data[at] - expected[i]) <= 1, `image ${image}, byte ${i}`); // WebAssembly rounds otherwise
      }
    }
    const sides = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(sides[0] <= sides[1], `${sides}`);
    await upload('picture.npy');
    await page.waitForFunction(() => document.body.dataset.done === undefined, WAIT);
    await done(page);
    assert.deepEqual(await pixels(page), found);
    await number?.evaluate((field) => { /** @type {HTMLInputElement} */ (field).value = '1.5'; });
    await page.click('#draw');
    assert.equal(await number?.evaluate((field) => /** @type {HTMLInputElement} */ (field).validationMessage), 'Write whole numbers with commas');
    assert.deepEqual(problems, []);
  } finally {
    server.close();
  }
});

test('a model with ten classes writes a number', { skip }, async () => {
  const { page, problems } = await newPage(labelled.url);
  await done(page);
  await screenshot(page, 'number');
  assert.equal(await page.$eval('#labels-name', (name) => name.textContent), 'A number to write');
  const { width, height } = await pixels(page);
  assert.deepEqual([width, height], [4 * 6, 4]);
  await page.$eval('#labels', (input) => { /** @type {HTMLInputElement} */ (input).value = '12x'; });
  await page.click('#draw');
  assert.equal(await page.$eval('#labels', (input) => /** @type {HTMLInputElement} */ (input).validationMessage), 'Write 1 to 16 digits');
  assert.equal((await readAsJson('labelled-site/site.json')).classes, 11);
  assert.deepEqual(problems, []);
});
