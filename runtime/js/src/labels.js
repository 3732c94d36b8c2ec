/** Class labels, and what they and the guidance scale must be for a model. */

/** @typedef {import('./card.js').ModelCard} ModelCard */

/**
 * The label of each sample: sample n has label n modulo their count. Without a label, a model with a null class draws
 * every class but that in turn.
 * @param {ModelCard} card
 * @param {readonly number[] | number | null} label
 * @param {readonly bigint[]} samples
 * @returns {number[] | undefined} undefined for a model without classes
 * @throws {RangeError} unless a model with this card takes these labels
 */
export function labelsOf(card, label, samples) {
  const { classes } = card;
  if (classes === null) {
    if (label !== null) throw new RangeError('the model is unconditional; leave out label');
    return undefined;
  }
  const known = `0 to ${classes - 1}${card.nullClass === null ? '' : `, where ${card.nullClass} is no class`}`;
  const labels = label === null ? everyClass(card) : typeof label === 'number' ? [label] : label;
  if (!labels.length) throw new RangeError(`the model is class-conditional and needs a label: ${known}`);
  const wrong = labels.find((one) => !Number.isInteger(one) || one < 0 || one >= classes);
  if (wrong !== undefined) throw new RangeError(`label ${wrong} is none of the model's: ${known}`);
  return samples.map((sample) => labels[Number(sample % BigInt(labels.length))]);
}

/**
 * Guidance needs something to be guided away from: a null class, or null inputs.
 * @param {ModelCard} card
 * @param {number} guidance
 * @param {boolean} hasNullInputs
 * @throws {RangeError} unless a model with this card takes this guidance
 */
export function checkGuidance(card, guidance, hasNullInputs) {
  if (!Number.isFinite(Math.fround(guidance))) throw new RangeError(`guidance must be a finite number of float32, not ${guidance}`);
  if (hasNullInputs && guidance === 1) throw new RangeError('null inputs are for guidance; give a guidance other than 1');
  if (guidance === 1 || card.nullClass !== null || hasNullInputs) return;
  const conditions = [...card.inputs.values()].some((facts) => facts.role === 'condition');
  if (conditions) throw new RangeError('guidance needs the inputs that stand for no condition; give them as nullInputs');
  if (card.classes === null) throw new RangeError('the model is unconditional; leave out guidance');
  throw new RangeError('guidance needs a model that was trained with a null class, and this one has none');
}

/** @param {ModelCard} card */
function everyClass(card) {
  if (card.nullClass === null) return [];
  return Array.from({ length: card.classes ?? 0 }, (_, one) => one).filter((one) => one !== card.nullClass);
}
