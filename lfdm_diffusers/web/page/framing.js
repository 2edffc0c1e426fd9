// A picture as the model sees it: lfdm_diffusers/data/picture_fitting.py in JavaScript. Pixels are RGB in [0, 1].

/** Width and height that a picture is scaled to for a square frame: within it ("letterbox") or filling it ("center_crop"). */
export function fittedSize(width, height, side, fit) {
  if (width === side && height === side) return [side, side];
  const letterbox = fit === "letterbox";
  const scaled = (a, b) => Math.max(1, letterbox ? Math.floor((a * side) / b) : Math.ceil((a * side) / b));
  return width <= height === letterbox ? [scaled(width, height), side] : [side, scaled(height, width)];
}

/** Where in the picture the frame lies, in its pixels; beyond it where the frame has bars. */
export function frameBox(width, height, side, fit) {
  const sides = [width, height].map((of, axis) => {
    const scaled = fittedSize(width, height, side, fit)[axis];
    const margin = Math.trunc((side - scaled) / 2);
    return [(-margin * of) / scaled, ((side - margin) * of) / scaled];
  });
  return { left: sides[0][0], right: sides[0][1], top: sides[1][0], bottom: sides[1][1] };
}

/** For each of `to` places the first of the `from` values that it reads, and its weights: linear, wider where it shrinks. */
function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(from, Math.trunc(centre + reach + 0.5));
    const weights = [];
    for (let j = first; j < last; j++) weights.push(Math.max(0, 1 - Math.abs((j + 0.5 - centre) / reach)));
    const total = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

/** An antialiased bilinear resize, as torch's: RGBA bytes in, planes (3, h, w) in [0, 1] out; alpha is not looked at. */
export function resized(rgba, width, height, toWidth, toHeight) {
  const across = taps(width, toWidth);
  const down = taps(height, toHeight);
  const rows = new Float32Array(3 * height * toWidth);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < toWidth; x++) {
      const { first, weights } = across[x];
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * rgba[4 * (y * width + first + k) + c];
        rows[(c * height + y) * toWidth + x] = sum / 255;
      }
    }
  const out = new Float32Array(3 * toHeight * toWidth);
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < toHeight; y++) {
      const { first, weights } = down[y];
      for (let k = 0; k < weights.length; k++) {
        const from = (c * height + first + k) * toWidth;
        const to = (c * toHeight + y) * toWidth;
        for (let x = 0; x < toWidth; x++) out[to + x] += weights[k] * rows[from + x];
      }
    }
  return out;
}

/** The picture in a square frame, planes (3, side, side): with black bars, or cut. */
export function fitted(rgba, width, height, side, fit) {
  const [w, h] = fittedSize(width, height, side, fit);
  const small = resized(rgba, width, height, w, h);
  const left = Math.trunc((side - w) / 2);
  const top = Math.trunc((side - h) / 2);
  const out = new Float32Array(3 * side * side);
  for (let c = 0; c < 3; c++)
    for (let y = Math.max(0, top); y < Math.min(side, top + h); y++)
      for (let x = Math.max(0, left); x < Math.min(side, left + w); x++)
        out[(c * side + y) * side + x] = small[(c * h + y - top) * w + x - left];
  return out;
}
