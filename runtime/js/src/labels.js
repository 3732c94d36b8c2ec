/** Class labels and classifier-free guidance, bound to a network, so that the loop does not know them. */

/** @typedef {import('./card.js').ModelCard} ModelCard */

/**
 * What the loop calls: the network's output for each image of x at one timestep.
 * @callback Denoiser
 * @param {Float32Array} x `[batch, C, H, W]`
 * @param {number} t a timestep, counted from 0
 * @param {number} batch
 * @returns {Float32Array | Promise<Float32Array>} `[batch, C or 2 C, H, W]`
 */

/**
 * A denoiser that also takes the class of each image.
 * @callback LabelledDenoiser
 * @param {Float32Array} x
 * @param {number} t
 * @param {number} batch
 * @param {readonly number[]} [labels]
 * @returns {Float32Array | Promise<Float32Array>}
 */

/**
 * The label of each sample: sample n has label n modulo their count. Without a label, a model with a null class draws
 * every class but that in turn.
 * @param {ModelCard} card
 * @param {readonly number[] | number | null} label
 * @param {number} guidance
 * @param {readonly bigint[]} samples
 * @returns {number[] | null} null for an unconditional model
 * @throws {RangeError} unless a model with this card takes these labels and this guidance
 */
export function labelsOf(card, label, guidance, samples) {
  if (!Number.isFinite(Math.fround(guidance))) throw new RangeError(`guidance must be a finite number of float32, not ${guidance}`);
  if (card.classes === null) {
    if (label !== null || guidance !== 1) throw new RangeError('the model is unconditional; leave out label and guidance');
    return null;
  }
  const known = `0 to ${card.classes - 1}${card.nullClass === null ? '' : `, where ${card.nullClass} is no class`}`;
  const labels = label === null ? everyClass(card) : typeof label === 'number' ? [label] : label;
  if (!labels.length) throw new RangeError(`the model is class-conditional and needs a label: ${known}`);
  const wrong = labels.find((one) => !Number.isInteger(one) || one < 0 || one >= /** @type {number} */ (card.classes));
  if (wrong !== undefined) throw new RangeError(`label ${wrong} is none of the model's: ${known}`);
  if (guidance !== 1 && card.nullClass === null) {
    throw new RangeError('guidance needs a model that was trained with a null class, and this one has none');
  }
  return samples.map((sample) => labels[Number(sample % BigInt(labels.length))]);
}

/** @param {ModelCard} card */
function everyClass(card) {
  if (card.nullClass === null) return [];
  return Array.from({ length: card.classes ?? 0 }, (_, one) => one).filter((one) => one !== card.nullClass);
}

/**
 * The denoiser of a class-conditional engine. With guidance W, out = null + W (labelled - null): Ho and Salimans 2022,
 * eq. (6) with W = 1 + w. One call of twice the batch computes both; a learned variance is the labelled half's.
 * @param {LabelledDenoiser} engine
 * @param {readonly number[]} labels
 * @param {number} guidance
 * @param {number | null} nullClass
 * @param {number} channelsSize C H W, of the image
 * @returns {Denoiser}
 */
export function withLabels(engine, labels, guidance, nullClass, channelsSize) {
  if (guidance === 1) return (x, t, batch) => engine(x, t, batch, labels);
  if (nullClass === null) throw new RangeError('guidance needs a null class');
  const both = [...labels, ...labels.map(() => nullClass)];
  const f = Math.fround, scale = f(guidance);
  return async (x, t, batch) => {
    const twice = new Float32Array(2 * x.length);
    twice.set(x);
    twice.set(x, x.length);
    const out = await engine(twice, t, 2 * batch, both);
    const each = out.length / (2 * batch);
    const guided = out.slice(0, out.length / 2);
    for (let image = 0; image < batch; image += 1) {
      for (let i = image * each, end = i + channelsSize; i < end; i += 1) {
        const blank = out[i + batch * each];
        guided[i] = f(blank + f(scale * f(out[i] - blank)));
      }
    }
    return guided;
  };
}
