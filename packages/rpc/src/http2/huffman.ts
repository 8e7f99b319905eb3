import { ConnectionError } from './protocol.js';

/**
 * Bits of the code of each byte, and of EOS (RFC 7541, appendix B). The codes follow: they are given out in ascending
 * order of length, then of symbol.
 */
const CODE_BITS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const EOS = 256;

/*
 * The decoder walks the code tree four bits at a time. Each inner node of the tree is a state; `steps` holds for each
 * state and nibble:
 *
 *   bits 0-7 the byte that was completed | 8 one was completed | 9 the nibble leads nowhere | 16-31 next state
 *
 * A nibble completes one byte at most, as the shortest code has five bits.
 */
const COMPLETED = 0x100;
const NOWHERE = 0x200;

interface Tree {
  readonly steps: Uint32Array;
  /** Whether the bits that led to a state may be padding: fewer than eight, and ones only. */
  readonly mayEnd: Uint8Array;
}

const { steps, mayEnd } = buildTree();

function buildTree(): Tree {
  // children[2 * node + bit]: an inner node (> 0), or a leaf as -1 - symbol.
  const children: number[] = [0, 0];
  const path: string[] = [''];
  let code = 0;
  let codeBits = 0;
  for (let bits = 5; bits <= 30; bits++) {
    for (let symbol = 0; symbol < CODE_BITS.length; symbol++) {
      if (CODE_BITS[symbol] !== bits) continue;
      code *= 2 ** (bits - codeBits);
      codeBits = bits;
      let node = 0;
      for (let i = bits - 1; i > 0; i--) {
        const slot = 2 * node + (Math.floor(code / 2 ** i) % 2);
        if (children[slot] === 0) {
          children[slot] = path.length;
          path.push(path[node]! + String(slot & 1));
          children.push(0, 0);
        }
        node = children[slot]!;
      }
      children[2 * node + (code % 2)] = -1 - symbol;
      code++;
    }
  }
  const steps = new Uint32Array(path.length * 16);
  for (let state = 0; state < path.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let step = 0;
      for (let i = 3; i >= 0; i--) {
        const next = children[2 * node + ((nibble >> i) & 1)]!;
        if (next < 0 && -1 - next === EOS) step |= NOWHERE;
        else if (next < 0) step |= COMPLETED | (-1 - next);
        node = Math.max(0, next);
      }
      steps[16 * state + nibble] = ((node << 16) | step) >>> 0;
    }
  }
  return {
    steps,
    mayEnd: Uint8Array.from(path, (bits) => (bits.length < 8 && !bits.includes('0') ? 1 : 0)),
  };
}

/**
 * Decodes `bytes[from, end)` into `target`.
 * @param target has room for 8/5 of the input: no code is shorter than five bits
 * @returns the number of bytes decoded
 * @throws ConnectionError COMPRESSION_ERROR when padding is not what it must be
 */
export function decodeHuffman(bytes: Buffer, from: number, end: number, target: Buffer): number {
  let state = 0;
  let at = 0;
  let bad = 0;
  for (let i = from; i < end; i++) {
    const byte = bytes[i]!;
    const high = steps[(state << 4) | (byte >> 4)]!;
    bad |= high;
    if ((high & COMPLETED) !== 0) target[at++] = high & 0xff;
    const low = steps[((high >>> 16) << 4) | (byte & 15)]!;
    bad |= low;
    if ((low & COMPLETED) !== 0) target[at++] = low & 0xff;
    state = low >>> 16;
  }
  if ((bad & NOWHERE) !== 0 || mayEnd[state] === 0) {
    throw new ConnectionError('COMPRESSION_ERROR', 'a Huffman code is cut off or padded wrongly');
  }
  return at;
}
