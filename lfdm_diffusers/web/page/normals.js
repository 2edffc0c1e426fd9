// Standard normal numbers from a seed: xoshiro128** (Blackman and Vigna, 2018), its state filled by splitmix32, and Box-Muller.
// The same seed gives the same numbers in every browser, and others than torch or numpy give.

/** A function that gives the next number, uniform in (0, 1), 24 bits each. */
export function uniforms(seed) {
  let mixed = seed >>> 0;
  const state = Uint32Array.from({ length: 4 }, () => {
    mixed = (mixed + 0x9e3779b9) >>> 0;
    let z = mixed;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return z ^ (z >>> 16);
  });
  const rotated = (x, by) => (x << by) | (x >>> (32 - by));
  return () => {
    const out = Math.imul(rotated(Math.imul(state[1], 5), 7), 9) >>> 0;
    const shifted = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotated(state[3], 11);
    return ((out >>> 8) + 0.5) / 2 ** 24;
  };
}

/** A function that draws `count` standard normal numbers, as a Float32Array; each call goes on in the same sequence. */
export function normals(seed) {
  const next = uniforms(seed);
  return (count) => {
    const out = new Float32Array(count);
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(next()));
      const angle = 2 * Math.PI * next();
      out[i] = radius * Math.cos(angle);
      if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
    }
    return out;
  };
}
