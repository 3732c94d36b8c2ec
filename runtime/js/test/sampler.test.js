import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

import { Sampler } from '../src/sampler.js';
import { distance, fileOf, readAsJson, readFloats } from './files.js';

// The networks sum in an order of their own, and onnxruntime-node may be another release than Python's.
const TOLERANCE = 1e-5;

/** @param {string} model @param {string} steps */
const open = (model, steps) => Sampler.open(fileOf(model), fileOf(steps), { session: { intraOpNumThreads: 1 } });

test('the images are those of Python, for every kind of model', async () => {
  const { cases, seed, first, count, batch } = await readAsJson('cases.json');
  for (const { name, model, steps, ...asked } of cases) {
    const sampler = await open(model, steps);
    const found = await sampler.images({ seed, first, count, batch, ...asked });
    const off = distance(found, await readFloats(`${name}.f32`));
    assert.ok(off <= TOLERANCE, `${name}: off by ${off}`);
    await sampler.close();
  }
  assert.ok(cases.length >= 7);
});

test('every step shows its place, and the last one the images', async () => {
  const sampler = await open('gaussian.onnx', 'gaussian-dpm.steps.json');
  const steps = [];
  for await (const step of sampler.sample({ seed: '7', first: 40, count: 3, batch: 2 })) {
    steps.push([step.row, step.samples.map(String).join(), step.done, step.total, step.last, step.x.length]);
  }
  assert.equal(steps.length, 20);
  assert.deepEqual(steps[0], [0, '40,41', 1, 20, false, 48]);
  assert.deepEqual(steps[9], [9, '40,41', 10, 20, true, 48]);
  assert.deepEqual(steps[19], [9, '42', 20, 20, true, 24]);
});

test('a signal stops the chain between two steps, and the sampler can be used again', async () => {
  const sampler = await open('gaussian.onnx', 'gaussian-dpm.steps.json');
  const controller = new AbortController();
  let steps = 0;
  await assert.rejects(async () => {
    for await (const step of sampler.sample({ signal: controller.signal })) {
      steps += 1;
      if (step.row === 3) controller.abort();
    }
  }, { name: 'AbortError' });
  assert.equal(steps, 4);
  assert.equal((await sampler.images({ count: 2 })).length, 48);
});

test('what the model does not allow is refused before a call of the network', async () => {
  const plain = await open('gaussian.onnx', 'gaussian-dpm.steps.json');
  const labelled = await open('learned.onnx', 'guided-learned.steps.json');
  const wrong = [[plain, { label: 1 }], [plain, { guidance: 2 }], [plain, { count: 0 }], [plain, { batch: 1.5 }], [plain, { first: (1n << 64n) - 1n, count: 2 }], [labelled, { label: 4 }], [labelled, { label: [] }], [labelled, { guidance: NaN }]];
  for (const [sampler, request] of /** @type {[Sampler, object][]} */ (wrong)) {
    await assert.rejects(sampler.images(request), RangeError, JSON.stringify(request, (_, value) => String(value)));
  }
});

test('without a label, every class but the null class is drawn in turn', async () => {
  const sampler = await open('int32.onnx', 'int32-ddpm.steps.json');
  const found = await sampler.images({ seed: 3, count: 4 });
  const expected = await sampler.images({ seed: 3, count: 4, label: [0, 1, 2] });
  assert.deepEqual(found, expected);
});

test('an output that is not finite names the sample and the step', async () => {
  const sampler = await open('poison.onnx', 'gaussian-dpm.steps.json');
  await assert.rejects(sampler.images({ first: 9 }), /the network's output of sample 9 is not finite at step 0, t = 999; check the model/);
});

test('files that are missing, damaged or of two models are one line', async () => {
  await assert.rejects(open('gaussian.onnx', 'mnist-ddim.steps.json'), /was compiled for another model/);
  await assert.rejects(open('nothing.onnx', 'mnist-ddim.steps.json'), /nothing.onnx cannot be read: ENOENT/);
  await assert.rejects(open('cardless.onnx', 'gaussian-dpm.steps.json'), /has no model card/);
  const whole = new Uint8Array(await readFile(fileOf('gaussian.onnx')));
  await assert.rejects(Sampler.open(whole.subarray(0, 100), new Uint8Array()), /is not a whole ONNX model/);
});
