/**
 * RGBA bytes of one image, for a canvas: clip, (x + 1) 127.5, rounded with halves to even, as in the PNGs of ddpm-rt.
 * @param {Float32Array} x `[batch, C, H, W]`; C is 1, or at least 3 for red, green and blue
 * @param {readonly number[]} shape C, H, W
 * @param {number} [image] which image of the batch
 * @returns {Uint8ClampedArray<ArrayBuffer>} `[H, W, 4]`
 */
export function toRgba(x, shape, image = 0) {
  const [channels, height, width] = shape;
  const plane = height * width, start = image * channels * plane;
  const rgba = new Uint8ClampedArray(4 * plane);
  for (let i = 0; i < plane; i += 1) {
    for (let c = 0; c < 3; c += 1) rgba[4 * i + c] = toByte(x[start + (channels < 3 ? 0 : c) * plane + i]);
    rgba[4 * i + 3] = 255;
  }
  return rgba;
}

/** @param {number} value */
function toByte(value) {
  const f = Math.fround;
  const scaled = f(f(Math.min(1, Math.max(-1, value)) + 1) * 127.5);
  const below = Math.floor(scaled), rest = scaled - below;
  return below + (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? 1 : 0);
}
