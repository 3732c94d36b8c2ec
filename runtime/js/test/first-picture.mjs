/** Prints the size of a site and the time from opening it to its first picture: node first-picture.mjs SITE [REPEATS] */
import { readFile, readdir } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';

import { launch, serve, skip } from './browser.js';

const [site, repeats = '5'] = process.argv.slice(2);
if (site === undefined || !/^[1-9][0-9]*$/.test(repeats)) throw new Error('usage: node first-picture.mjs SITE [REPEATS]');
if (skip) throw new Error(skip);

const files = (await readdir(site, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
const contents = await Promise.all(files.map((entry) => readFile(`${entry.parentPath}/${entry.name}`)));
const megabytes = (/** @type {Buffer[]} */ parts) => (parts.reduce((sum, part) => sum + part.length, 0) / 1e6).toFixed(1);
console.log(`${site}: ${megabytes(contents)} MB in ${files.length} files, ${megabytes(contents.map((content) => gzipSync(content)))} MB with gzip`);

const { classes, nullClass, inputs } = JSON.parse(await readFile(`${site}/site.json`, 'utf8'));
if (inputs.some((/** @type {any} */ one) => one.shape.length)) throw new Error(`${site} waits for a file of its visitor`);
const asked = classes === null ? 'count=1' : `labels=${nullClass === 0 ? 1 : 0}`; // one picture
const server = await serve(site);
const browser = await launch();
try {
  for (let repeat = 0; repeat < Number(repeats); repeat += 1) {
    const context = await browser.createBrowserContext(); // without a cache
    const page = await context.newPage();
    const started = performance.now();
    await page.goto(`${server.url}?seed=7&${asked}`);
    await page.waitForFunction(() => document.body.dataset.done === 'yes' || document.body.dataset.failed === 'yes', { timeout: 300_000 });
    const seconds = (performance.now() - started) / 1000, status = await page.$eval('#status', (line) => line.textContent);
    if (await page.evaluate(() => document.body.dataset.done !== 'yes')) throw new Error(`${site} draws nothing: ${status}`);
    console.log(`first picture after ${seconds.toFixed(2)} s, ${status}`);
    await context.close();
  }
} finally {
  await browser.close();
  server.close();
}
