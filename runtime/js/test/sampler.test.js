import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

import { readCard } from '../src/card.js';
import { entriesOf, inputsOf as takenBy } from '../src/inputs.js';
import { readOnnx } from '../src/onnx_file.js';
import { Sampler } from '../src/sampler.js';
import { distance, fileOf, inputsOf, readAsJson, readFloats } from './files.js';

// The networks sum in an order of their own, and onnxruntime-node may be another release than Python's.
const TOLERANCE = 1e-5;

/** @param {string} model @param {string} steps */
const open = (model, steps) => Sampler.open(fileOf(model), fileOf(steps), { session: { intraOpNumThreads: 1 } });

test('the images are those of Python, for every kind of model', async () => {
  const { cases, seed, first, count, batch } = await readAsJson('cases.json');
  for (const { name, model, steps, inputs, null_inputs: nullInputs, ...asked } of cases) {
    const sampler = await open(model, steps);
    const found = await sampler.images({ seed, first, count, batch, ...asked, inputs: inputsOf(inputs), nullInputs: inputsOf(nullInputs) });
    const off = distance(found, await readFloats(`${name}.f32`));
    assert.ok(off <= TOLERANCE, `${name}: off by ${off}`);
    await sampler.close();
  }
  assert.ok(cases.length >= 15);
});

test('without a steps file a model runs the table of the most calls that it contains', async () => {
  const asked = { seed: 7, count: 2 }, expected = await (await open('gaussian.onnx', 'gaussian-dpm.steps.json')).images(asked);
  const session = { intraOpNumThreads: 1 };
  for (const model of [fileOf('tuned.onnx'), new Uint8Array(await readFile(fileOf('tuned.onnx')))]) {
    const sampler = await Sampler.open(model, null, { session });
    assert.equal(sampler.steps, 10);
    assert.deepEqual(await sampler.images(asked), expected);
  }
  const wrong = /** @type {[string, RegExp][]} */ ([
    ['gaussian.onnx', /gaussian.onnx contains no fitted table; give a steps file/],
    ['wrong_calls.onnx', /the fitted table of 30 calls in .* has 10 rows; embed it again/],
    ['cut_table.onnx', /the fitted table of 30 calls in .*: not a whole steps file/],
  ]);
  for (const [model, message] of wrong) await assert.rejects(Sampler.open(fileOf(model)), { name: 'DdpmRtError', message });
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

test('a sample takes its entry of an input by its number, whatever the batch', async () => {
  const sampler = await open('levels.onnx', 'levels-entries.steps.json');
  const difficulty = [10, 42.5, -3];
  const all = await sampler.images({ seed: 3, first: 1, count: 4, inputs: { difficulty } });
  const one = await sampler.images({ seed: 3, first: 4, count: 1, inputs: { difficulty } });
  const size = all.length / 4, same = await sampler.images({ seed: 3, first: 4, count: 1, inputs: { difficulty: 42.5 } });
  assert.deepEqual(one, all.slice(3 * size));
  assert.deepEqual(one, same);
  assert.notDeepEqual(one, await sampler.images({ seed: 3, first: 4, count: 1, inputs: { difficulty: 10 } }));
  assert.deepEqual(await sampler.images({ seed: 3, first: 1, count: 4, inputs: { difficulty: Float64Array.from(difficulty) } }), all);
});

test('inputs that the model does not take are refused before a call of the network', async () => {
  const levels = await open('levels.onnx', 'levels-entries.steps.json'), resolved = await open('resolved.onnx', 'resolved-ddpm.steps.json');
  const picture = new Float32Array(24), wide = new Float32Array(25);
  const wrong = /** @type {[Sampler, any, RegExp][]} */ ([
    [levels, {}, /the model needs input 'difficulty', float32 \[\] for each sample/],
    [levels, { inputs: { difficulty: 1, level: 2 } }, /the model has no input 'level' to be given; they are difficulty/],
    [levels, { inputs: { difficulty: NaN } }, /'difficulty' must be of finite numbers/],
    [levels, { inputs: { difficulty: 1e39 } }, /finite numbers that float32 can hold/],
    [levels, { inputs: { difficulty: [] } }, /has no entry/],
    [levels, { inputs: { difficulty: '42' } }, /'difficulty' must be a number/],
    [levels, { inputs: { difficulty: null } }, /'difficulty' must be a number/],
    [levels, { inputs: { difficulty: 1 }, guidance: 2 }, /guidance needs the inputs that stand for no condition/],
    [levels, { inputs: { difficulty: 1 }, nullInputs: { difficulty: 0 } }, /null inputs are for guidance/],
    [resolved, { inputs: { low_res: wide } }, /has 25 numbers/],
    [resolved, { inputs: { low_res: [picture, wide] } }, /has 25 numbers/],
    [resolved, { inputs: { low_res: [1, 2] } }, /as a Float32Array/],
    [resolved, { inputs: { low_res: picture, before: picture } }, /no input 'before' to be given; they are low_res/],
  ]);
  for (const [sampler, request, message] of wrong) await assert.rejects(sampler.images(request), { name: 'RangeError', message });
});

test('integer inputs are exact, and refused where their type cannot hold them', async () => {
  const card = readCard(await readFile(new URL('../../../tests/golden/card.json', import.meta.url), 'utf8'));
  const facts = /** @type {const} */ ({ shape: [2], role: 'condition' });
  const inputs = new Map([['small', { ...facts, shape: [2], dtype: /** @type {const} */ ('int32') }], ['large', { ...facts, shape: [2], dtype: /** @type {const} */ ('int64') }]]);
  const taken = entriesOf({ ...card, inputs }, { small: -7, large: new BigInt64Array([2n ** 62n, 1n, 2n, 3n]) });
  assert.deepEqual(takenBy(taken, [5n, 4n]), new Map(/** @type {any} */ ([['small', Int32Array.of(-7, -7, -7, -7)], ['large', BigInt64Array.of(2n, 3n, 2n ** 62n, 1n)]])));
  for (const small of [0.5, 2 ** 31, -(2 ** 31) - 1, NaN]) assert.throws(() => entriesOf({ ...card, inputs }, { small, large: 0 }), /integers that int32 can hold/);
});

test('a table of fractional times is refused for a network that takes whole timesteps', async () => {
  const content = new Uint8Array(await readFile(fileOf('gaussian.onnx')));
  const { card } = readOnnx(content);
  const plan = await readAsJson('gaussian-dpm.steps.json');
  const { channels, height, width, ...rest } = plan;
  const table = { ...rest, format: 2, shape: [channels, height, width], inputs: [], initial_scale: 1, t: plan.t.map((/** @type {number} */ t) => t - 0.5 * Number(t === 999)) };
  const open = Sampler.open(content, new TextEncoder().encode(JSON.stringify(table)));
  await assert.rejects(open, /steps file has the time 998.5, and the network takes whole timesteps/);
  assert.equal(card.format, 1);
});
