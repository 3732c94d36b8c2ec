// The images of a fused chain, without ddpm-rt: node fused.mjs chain.onnx SEED FIRST COUNT images.f32 [CLASSES]
// A class-conditional chain needs CLASSES; each class is then drawn in turn.
import { writeFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const [path, seed, first, count, out, classes] = process.argv.slice(2);
const signed = (/** @type {string | bigint} */ number) => BigInt.asIntN(64, BigInt(number)); // two's complement
const numbers = Array.from({ length: Number(count) }, (_, place) => BigInt(first) + BigInt(place));
const vector = (/** @type {bigint[]} */ values) => new Tensor('int64', BigInt64Array.from(values), [values.length]);

const session = await InferenceSession.create(path);
const { image } = await session.run({
  seed: new Tensor('int64', BigInt64Array.of(signed(seed)), []),
  sample: vector(numbers.map(signed)),
  ...(classes && { y: vector(numbers.map((number) => number % BigInt(classes))) }),
});
await writeFile(out, /** @type {Float32Array} */ (image.data));
console.log(`${out}: float32 [${image.dims.join(', ')}]`);
