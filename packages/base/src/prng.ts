/** A seeded source of chance. Same seed, same draws. */
export interface Prng {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [fromInclusive, toInclusive]. */
  integer(fromInclusive: number, toInclusive: number): number;
  /** True with probability `p`. */
  chance(p: number): boolean;
  /** One element of a non-empty list. */
  pick<T>(items: readonly T[]): T;
  /** An independent stream named `label`; drawing from it does not move this one. */
  fork(label: string): Prng;
}

/**
 * sfc32 (Chris Doty-Humphrey's Small Fast Counter generator) over a 53-bit seed.
 * Not for secrets.
 */
export function createPrng(seed: number): Prng {
  let a = seed >>> 0;
  let b = Math.floor(seed / 0x1_0000_0000) >>> 0;
  let c = 0x9e3779b9;
  let d = 1;
  const next32 = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 15; i++) next32();
  const prng: Prng = {
    next: () => next32() / 0x1_0000_0000,
    integer: (from, to) => from + Math.floor(prng.next() * (to - from + 1)),
    chance: (p) => prng.next() < p,
    pick: (items) => items[prng.integer(0, items.length - 1)]!,
    fork(label) {
      let hash = 0x811c9dc5;
      for (let i = 0; i < label.length; i++)
        hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193) >>> 0;
      return createPrng((seed % 0x1f_ffff) * 0x1_0000_0000 + ((hash ^ (seed >>> 0)) >>> 0));
    },
  };
  return prng;
}
