/** The fields of the model's named inputs: numbers, or files with an array or a picture. */
import { readNpy } from './npy.js';

/** @typedef {{ name: string, dtype: string, shape: number[] }} InputFacts an input in site.json */
/** @typedef {import('../src/inputs.js').Given} Given */

const NUMBER = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i;
const PREFIX = 'input.'; // of the keys in the URL
const MOST_TEXT = 400; // characters of a field

export class InputFields {
  /**
   * @param {InputFacts[]} facts
   * @param {Element} before the fields are put before it
   * @param {() => void} changed called when a file was read
   */
  constructor(facts, before, changed) {
    /** @type {Map<string, { facts: InputFacts, field: HTMLInputElement }>} */
    this._fields = new Map();
    /** @type {Map<string, Given>} what the files hold */
    this._read = new Map();
    for (const one of facts) {
      const label = document.createElement('label'), field = document.createElement('input');
      field.dataset.input = one.name;
      field.required = true;
      if (one.shape.length) {
        const kinds = isPicture(one) ? '.npy or a picture' : '.npy';
        label.append(`${one.name}, ${one.shape.join(' × ')} (${kinds}) `);
        field.type = 'file';
        field.accept = isPicture(one) ? '.npy,image/*' : '.npy';
        field.addEventListener('change', () => this._take(one, field, changed));
      } else {
        label.append(`${one.name} (a number, or one for each image, with commas) `);
        field.value = '0';
        field.maxLength = MOST_TEXT;
        field.autocomplete = 'off';
      }
      label.append(field);
      before.before(label);
      this._fields.set(one.name, { facts: one, field });
    }
  }

  /** The names of inputs whose file is not there yet. */
  get missing() {
    return [...this._fields].filter(([name, { facts }]) => facts.shape.length && !this._read.has(name)).map(([name]) => name);
  }

  /** Whether the address of the page tells everything: files are not part of it. */
  get areInUrl() {
    return [...this._fields.values()].every(({ facts }) => !facts.shape.length);
  }

  /** What the fields hold; a field that is wrong has a message of its own. @returns {Record<string, Given>} */
  values() {
    /** @type {Record<string, Given>} */
    const values = {};
    for (const [name, { facts, field }] of this._fields) {
      if (facts.shape.length) {
        const read = this._read.get(name);
        if (read !== undefined) values[name] = read;
        continue;
      }
      const numbers = numbersOf(field.value, facts.dtype);
      field.setCustomValidity(numbers === null ? `Write ${facts.dtype === 'float32' ? 'numbers' : 'whole numbers'} with commas` : '');
      if (numbers !== null) values[name] = numbers;
    }
    return values;
  }

  /** @param {URLSearchParams} asked gets the numbers */
  toUrl(asked) {
    for (const [name, { facts, field }] of this._fields) if (!facts.shape.length) asked.set(PREFIX + name, field.value);
  }

  /** @param {URLSearchParams} asked */
  fromUrl(asked) {
    for (const [name, { facts, field }] of this._fields) {
      const value = asked.get(PREFIX + name);
      if (value !== null && !facts.shape.length) field.value = value.slice(0, MOST_TEXT);
    }
  }

  /**
   * @param {InputFacts} facts
   * @param {HTMLInputElement} field
   * @param {() => void} changed
   */
  async _take(facts, field, changed) {
    const file = field.files?.[0];
    this._read.delete(facts.name);
    field.setCustomValidity('');
    if (file === undefined) return;
    try {
      const values = file.name.toLowerCase().endsWith('.npy') ? arrayOf(await file.arrayBuffer(), facts) : await pictureOf(file, facts);
      if (field.files?.[0] !== file) return; // another one was chosen
      this._read.set(facts.name, values);
      changed();
    } catch (error) {
      field.setCustomValidity(`${file.name}: ${error instanceof Error ? error.message : error}`);
      field.reportValidity();
    }
  }
}

/** @param {InputFacts} facts */
function isPicture({ dtype, shape }) {
  return dtype === 'float32' && shape.length === 3 && (shape[0] === 1 || shape[0] === 3);
}

/**
 * @param {string} text
 * @param {string} dtype
 * @returns {(number | bigint)[] | null} null for anything but numbers of the type
 */
function numbersOf(text, dtype) {
  const parts = text.split(',').map((part) => part.trim());
  if (dtype === 'float32') return parts.every((part) => NUMBER.test(part)) ? parts.map(Number) : null;
  return parts.every((part) => /^-?[0-9]{1,19}$/.test(part)) ? parts.map(BigInt) : null;
}

/**
 * @param {ArrayBuffer} content
 * @param {InputFacts} facts
 * @returns {Given}
 */
function arrayOf(content, { shape: wanted }) {
  const { shape, values } = readNpy(content), sides = shape.slice(-wanted.length);
  const isWhole = sides.join() === wanted.join() && shape.length <= wanted.length + 1 && values.length > 0;
  if (!isWhole) throw new RangeError(`its shape is [${shape}], but must be [${wanted}], or several of these`);
  return values;
}

/**
 * A picture in [-1, 1], `[C, H, W]`, as `ddpm-rt sample --input` reads it; grey is Pillow's mode L.
 * @param {File} file
 * @param {InputFacts} facts
 * @returns {Promise<Float32Array>}
 */
async function pictureOf(file, facts) {
  const [channels, height, width] = facts.shape;
  if (!isPicture(facts)) throw new RangeError(`give [${facts.shape}] as .npy`);
  /** @type {ImageBitmap} */
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  } catch {
    throw new RangeError('it is neither .npy nor a picture that the browser can read');
  }
  if (bitmap.width !== width || bitmap.height !== height) throw new RangeError(`it is ${bitmap.width} × ${bitmap.height}, but must be ${width} × ${height}`);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext('2d'));
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height), plane = height * width;
  if (data.some((value, i) => i % 4 === 3 && value !== 255)) throw new RangeError('it has transparent pixels');
  return Float32Array.from({ length: channels * plane }, (_, i) => {
    const at = 4 * (i % plane), [red, green, blue] = data.subarray(at, at + 3);
    const byte = channels === 3 ? data[at + Math.floor(i / plane)] : (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
    return Math.fround(Math.fround(byte / Math.fround(127.5)) - 1);
  });
}
