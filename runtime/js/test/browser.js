/** A headless Chromium and Python's web server, for tests. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import puppeteer from 'puppeteer-core';

export const CHROMIUM = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path && existsSync(path));

/** Why the browser tests cannot run here, or false. */
export const skip = CHROMIUM === undefined ? 'NOT DONE: Chromium is not installed; set CHROMIUM to its path' : false;

const SOFTWARE_GPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan', '--use-vulkan=swiftshader'];

/** @param {{ softwareGpu?: boolean }} [options] `softwareGpu`: with an adapter of WebGPU that computes on the CPU */
export const launch = ({ softwareGpu = false } = {}) => puppeteer.launch({
  executablePath: CHROMIUM,
  headless: true,
  protocolTimeout: 600_000,
  args: ['--no-sandbox', ...(softwareGpu ? SOFTWARE_GPU : ['--disable-gpu'])],
});

/**
 * `python -m http.server` on a free port.
 * @param {string} folder
 * @returns {Promise<{ url: string, close: () => void }>}
 */
export async function serve(folder) {
  const child = spawn(process.env.PYTHON ?? 'python3', ['-u', '-m', 'http.server', '0', '--bind', '127.0.0.1', '--directory', folder], { stdio: ['ignore', 'pipe', 'ignore'] });
  const port = await new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const found = /port (\d+)/.exec(text);
      if (found) resolve(found[1]);
    });
    child.on('exit', () => reject(new Error('python -m http.server ended')));
  });
  return { url: `http://127.0.0.1:${port}/`, close: () => child.kill() };
}
