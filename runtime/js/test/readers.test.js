import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

import { readCard } from '../src/card.js';
import { DdpmRtError } from '../src/errors.js';
import { parseJson } from '../src/json.js';
import { readOnnx } from '../src/onnx_file.js';
import { OrtEngine } from '../src/ort_engine.js';
import { sha256 } from '../src/sha256.js';
import { readSteps } from '../src/steps_file.js';
import { fileOf, readAsJson } from './files.js';

/**
 * Whether a reader takes a text; any other error than one line of DdpmRtError is thrown on.
 * @param {() => unknown} read
 */
function reads(read) {
  try {
    read();
    return true;
  } catch (error) {
    assert.ok(error instanceof DdpmRtError, String(error));
    assert.match(error.message, /^[\x20-\x7e]{10,400}$/);
    return false;
  }
}

test('a card or a steps file is read where Python reads it, and refused where Python refuses it', async () => {
  const texts = await readAsJson('texts.json');
  const differ = (/** @type {string} */ text, /** @type {boolean} */ found, /** @type {boolean} */ expected) =>
    (found === expected ? [] : [`${found} here: ${text.length < 400 ? text : `${text.slice(0, 200)} ... ${text.slice(-200)}`}`]);
  const wrong = texts.cards.flatMap((/** @type {any} */ [text, ok]) => differ(text, reads(() => readCard(text)), ok));
  for (const [card, text, ok] of texts.steps) wrong.push(...differ(text, reads(() => readSteps(text, readCard(card))), ok));
  assert.deepEqual(wrong, []);
  assert.ok(texts.cards.length > 180 && texts.steps.length > 150);
  const read = texts.cards.filter((/** @type {any} */ [, ok]) => ok).length;
  assert.ok(read > 20 && read < texts.cards.length / 2, `${read}`);
});

test('a model is opened where Python opens it, and refused where its card says something else than its graph', async () => {
  const models = await readAsJson('signatures.json');
  const session = { run: async () => ({}), release: async () => {} };
  const ort = /** @type {any} */ ({ InferenceSession: { create: async () => session } }); // the bytes decide alone
  for (const [name, ok] of models) {
    const content = new Uint8Array(await readFile(fileOf(name)));
    const opened = await OrtEngine.open(ort, content, { source: name }).then(() => '', (error) => {
      assert.ok(error instanceof DdpmRtError, String(error));
      return error.message;
    });
    assert.equal(opened === '', ok, `${name}: ${opened}`);
  }
  assert.deepEqual(models.filter((/** @type {any} */ [, ok]) => ok).length, 3);
});

test('JSON keeps integers exact, and refuses what JSON.parse lets pass', () => {
  assert.deepEqual(parseJson('[18446744073709551615, 1.5, -0, 1e2, true, null, "\\u00e9"]'), [18446744073709551615n, 1.5, 0n, 100, true, null, 'é']);
  const long = `{${Array.from({ length: 20_001 }, (_, key) => `"${key}": 0`)}}`;
  for (const text of ['{"a": 1, "a": 2}', '[01]', '[1,]', '{"a" 1}', '"\\ud800"', '"a\nb"', '[.5]', 'nul', '['.repeat(66), long, '{"__proto__": 1, "__proto__": 2}']) {
    assert.throws(() => parseJson(text), SyntaxError, text.slice(0, 40));
  }
});

test('SHA-256 is that of Node', () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 1000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 7) % 256);
    assert.equal(sha256(bytes), createHash('sha256').update(bytes).digest('hex'));
  }
});

test('an ONNX file shows its card and its tensors, and every cut of its start is one line', async () => {
  const content = new Uint8Array(await readFile(fileOf('learned.onnx')));
  const { card, inputs, outputs } = readOnnx(content);
  assert.deepEqual([...inputs], [['x', { type: 'float32', shape: [null, 1, 4, 6] }], ['t', { type: 'int64', shape: [null] }], ['y', { type: 'int64', shape: [null] }]]);
  assert.deepEqual(outputs.get('out')?.shape, [null, 2, 4, 6]);
  assert.deepEqual([card.classes, card.nullClass, card.outputChannels], [4, 3, 2]);
  for (let end = 0; end < content.length; end += 997) assert.equal(reads(() => readOnnx(content.subarray(0, end))), false, `cut at ${end}`);
  for (let at = 0; at < content.length; at += 499) {
    const damaged = content.slice();
    damaged[at] ^= 0x55;
    reads(() => readOnnx(damaged));
  }
  const cardless = new Uint8Array(await readFile(fileOf('cardless.onnx')));
  assert.throws(() => readOnnx(cardless), /has no model card/);
});
