// Four images of a seed, each step shown: node sample.mjs unet.onnx unet.steps.json
import { Sampler } from 'ddpm-rt';

const [model, steps] = process.argv.slice(2);
const sampler = await Sampler.open(model, steps);
for await (const step of sampler.sample({ seed: '7', first: 40, count: 4 })) {
  process.stdout.write(`\rstep ${step.done} of ${step.total}`);
  if (step.last) console.log(`\nsamples ${step.samples.join(', ')}: ${step.x.length} numbers, the first ${step.x[0]}`);
}
await sampler.close();
