// The images of a fused chain, without ddpm-rt: node fused.mjs chain.onnx SEED FIRST COUNT images.f32
import { writeFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const [path, seed, first, count, out] = process.argv.slice(2);
const signed = (/** @type {string | bigint} */ number) => BigInt.asIntN(64, BigInt(number)); // two's complement
const samples = BigInt64Array.from({ length: Number(count) }, (_, place) => signed(BigInt(first) + BigInt(place)));

const session = await InferenceSession.create(path);
const { image } = await session.run({
  seed: new Tensor('int64', BigInt64Array.of(signed(seed)), []),
  sample: new Tensor('int64', samples, [samples.length]),
});
await writeFile(out, /** @type {Float32Array} */ (image.data));
console.log(`${out}: float32 [${image.dims.join(', ')}]`);
