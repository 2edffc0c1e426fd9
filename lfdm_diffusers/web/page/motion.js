// From a denoised volume to what a renderer needs: lfdm_diffusers/export/runner.py, pipelines/steadying.py and the agreement of
// models/full_size_painter.py in JavaScript. Maps are Float32Arrays (frames, channels, height, width).

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const smoothstep = (x) => x * x * (3 - 2 * x);
const step = (x, low, high) => smoothstep(clamp((x - low) / (high - low), 0, 1));
// The numbers of pipelines/steadying.py, and their meaning.
const [FAR, NEAR, ALIKE] = [2, 1.2, 0.3];
const [REST, MOTION] = [0.1, 0.3];
const [SAME, NEW] = [0.04, 0.1];

/** The coordinate in [-1, 1] of the centre of place `i` of `n`. */
const centre = (i, n) => (2 * i + 1) / n - 1;

/** A volume's values where nothing moves and all is seen. */
export const stillValues = ({ mean, std }) => [0, 0, 1].map((value, c) => (value - mean[c]) / std[c]);

/** Flow and occlusion of a clean volume (3, F, h, w), the motion `scale` times as strong, as `Motion.scaled` has it. */
export function motionOf(volume, about, scale = 1) {
  const { frames, height, width, mean, std, flow_is_added_to: added } = about;
  const places = height * width;
  const flow = new Float32Array(frames * 2 * places);
  const occlusion = new Float32Array(frames * places);
  const kept = clamp(scale, 0, 1);
  for (let f = 0; f < frames; f++)
    for (let i = 0; i < places; i++) {
      const at = [i % width, Math.floor(i / width)];
      for (let c = 0; c < 2; c++) {
        const still = centre(at[c], c ? height : width);
        const absolute = volume[(c * frames + f) * places + i] * std[c] + mean[c] + (added ? added[at[c]] : 0);
        flow[(f * 2 + c) * places + i] = scale === 1 ? absolute : still + scale * (absolute - still);
      }
      const seen = clamp(volume[(2 * frames + f) * places + i] * std[2] + mean[2], 0, 1);
      occlusion[f * places + i] = 1 + kept * (seen - 1);
    }
  return { flow, occlusion };
}

/** A flow's departure from rest, in units of the grid, steadied: smooth but for borders, and 0 where it nearly is. */
export function steadiedDeparture(flow, frames, height, width) {
  const places = height * width;
  const out = new Float32Array(flow.length);
  const x = new Float32Array(places);
  const y = new Float32Array(places);
  for (let f = 0; f < frames; f++) {
    const [ofX, ofY] = [f * 2 * places, (f * 2 + 1) * places];
    for (let i = 0; i < places; i++) {
      x[i] = ((flow[ofX + i] - centre(i % width, width)) * width) / 2;
      y[i] = ((flow[ofY + i] - centre(Math.floor(i / width), height)) * height) / 2;
    }
    for (let i = 0; i < places; i++) {
      const [column, row] = [i % width, Math.floor(i / width)];
      let [sumX, sumY, weights] = [0, 0, 0];
      for (let dy = -FAR; dy <= FAR; dy++)
        for (let dx = -FAR; dx <= FAR; dx++) {
          const j = clamp(row + dy, 0, height - 1) * width + clamp(column + dx, 0, width - 1);
          const unlike = (x[j] - x[i]) ** 2 + (y[j] - y[i]) ** 2;
          const weight = Math.exp(-(dx * dx + dy * dy) / (2 * NEAR ** 2) - unlike / (2 * ALIKE ** 2));
          sumX += weight * x[j];
          sumY += weight * y[j];
          weights += weight;
        }
      const [smoothX, smoothY] = [sumX / weights, sumY / weights];
      const moves = step(Math.hypot(smoothX, smoothY), REST, MOTION);
      out[ofX + i] = (smoothX * moves * 2) / width;
      out[ofY + i] = (smoothY * moves * 2) / height;
    }
  }
  return out;
}

/** Departure + rest: an absolute grid again. */
export function absoluteFlow(departure, frames, height, width) {
  const places = height * width;
  return departure.map((value, n) => {
    const i = n % places;
    return value + (Math.floor(n / places) % 2 ? centre(Math.floor(i / width), height) : centre(i % width, width));
  });
}

/** The inverse of `absoluteFlow`. */
export function departureOf(flow, frames, height, width) {
  const places = height * width;
  return flow.map((value, n) => {
    const i = n % places;
    return value - (Math.floor(n / places) % 2 ? centre(Math.floor(i / width), height) : centre(i % width, width));
  });
}

/** The largest value of each place's 3x3 neighbours. */
function dilated(map, height, width) {
  const out = new Float32Array(map.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      let most = 0;
      for (let j = Math.max(0, y - 1); j <= Math.min(height - 1, y + 1); j++)
        for (let i = Math.max(0, x - 1); i <= Math.min(width - 1, x + 1); i++) most = Math.max(most, map[j * width + i]);
      out[y * width + x] = most;
    }
  return out;
}

/** A map at another size, bilinear between centres. */
export function bilinear(map, height, width, toHeight, toWidth) {
  if (height === toHeight && width === toWidth) return map;
  const out = new Float32Array(toHeight * toWidth);
  for (let y = 0; y < toHeight; y++) {
    const v = clamp(((y + 0.5) * height) / toHeight - 0.5, 0, height - 1);
    const top = Math.floor(v);
    const bottom = Math.min(top + 1, height - 1);
    for (let x = 0; x < toWidth; x++) {
      const u = clamp(((x + 0.5) * width) / toWidth - 0.5, 0, width - 1);
      const left = Math.floor(u);
      const right = Math.min(left + 1, width - 1);
      const above = map[top * width + left] * (1 - u + left) + map[top * width + right] * (u - left);
      const below = map[bottom * width + left] * (1 - u + left) + map[bottom * width + right] * (u - left);
      out[y * toWidth + x] = above * (1 - v + top) + below * (v - top);
    }
  }
  return out;
}

/** Mean difference of colours of two pictures (3, n, n) in each place. */
function difference(a, b, at, places) {
  const out = new Float32Array(places);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < places; i++) out[i] += Math.abs(a[at + c * places + i] - b[at + c * places + i]) / 3;
  return out;
}

/** Where frame `f` moves or is new, (side, side) in [0, 1]; 0 leaves the picture as it is. */
export function activity(departure, warped, decoded, f, [height, width], side) {
  const places = height * width;
  const moves = new Float32Array(places);
  for (let i = 0; i < places; i++)
    moves[i] = departure[f * 2 * places + i] !== 0 || departure[(f * 2 + 1) * places + i] !== 0 ? 1 : 0;
  const wide = bilinear(dilated(moves, height, width), height, width, side, side);
  const unlike = difference(warped, decoded, f * 3 * side * side, side * side);
  const fresh = dilated(unlike.map((x) => step(x, SAME, NEW)), side, side);
  return wide.map((x, i) => Math.max(x, fresh[i]));
}

/** How much of what was decoded is taken in frame `f` rather than the picture, warped: 1 - g. */
export function unlikeness(warped, decoded, f, side, scale) {
  const error = difference(warped, decoded, f * 3 * side * side, side * side);
  const out = new Float32Array(side * side);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      let sum = 0;
      for (let j = y - 1; j <= y + 1; j++)
        for (let i = x - 1; i <= x + 1; i++) sum += error[clamp(j, 0, side - 1) * side + clamp(i, 0, side - 1)];
      out[y * side + x] = 1 - Math.exp(-((sum / 9 / scale) ** 2));
    }
  return out;
}

/** How much of each place of frame `f` the picture does not show: nothing from an occlusion of `below` on, all of it up to a fifth. */
export function hidden(occlusion, f, places, below) {
  return occlusion.slice(f * places, (f + 1) * places).map((x) => 1 - step(x, below / 5, below));
}

/** Maps of one frame held back where `active` (side, side) is 0: departures and shares, each of its own size. */
export function atRest(map, channels, height, width, active, side) {
  const share = bilinear(active, side, side, height, width);
  const places = height * width;
  return map.map((value, n) => (n < channels * places ? value * share[n % places] : value));
}
