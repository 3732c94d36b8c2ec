/** Prints the size of a site and the time from opening it to its first picture: node first-picture.mjs SITE [REPEATS] */
import { readdir, stat } from 'node:fs/promises';

import { launch, serve, skip } from './browser.js';

const [site, repeats = '5'] = process.argv.slice(2);
if (skip) throw new Error(skip);

const names = await readdir(site, { recursive: true });
const sizes = await Promise.all(names.map(async (name) => stat(`${site}/${name}`)));
const bytes = sizes.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
console.log(`${site}: ${(bytes / 1e6).toFixed(1)} MB in ${sizes.filter((file) => file.isFile()).length} files`);

const server = await serve(site);
const browser = await launch();
for (let repeat = 0; repeat < Number(repeats); repeat += 1) {
  const context = await browser.createBrowserContext(); // without a cache
  const page = await context.newPage();
  const started = performance.now();
  await page.goto(`${server.url}?seed=7&count=1`);
  await page.waitForFunction(() => document.body.dataset.done === 'yes', { timeout: 300_000 });
  console.log(`first picture after ${((performance.now() - started) / 1000).toFixed(2)} s, ${await page.$eval('#status', (status) => status.textContent)}`);
  await context.close();
}
await browser.close();
server.close();
