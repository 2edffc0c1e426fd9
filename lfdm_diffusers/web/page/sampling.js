// DDIM from the tables of runner.json; lfdm_diffusers/export/sampling.py says where they come from.

/** The value below which the share `quantile` of the magnitudes lies, between neighbours linearly, as numpy has it. */
export function quantileOfMagnitudes(values, quantile) {
  const sorted = values.map(Math.abs).sort(); // typed arrays sort by number
  const place = quantile * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

/** Imagen's dynamic thresholding, in place: clipped to a quantile, and divided by it where that is above 1. */
export function thresholded(clean, rule) {
  if (!rule) return clean;
  const size = Math.min(Math.max(quantileOfMagnitudes(clean, rule.quantile), 1), rule.largest);
  for (let i = 0; i < clean.length; i++) clean[i] = Math.min(Math.max(clean[i], -size), size) / size;
  return clean;
}

/**
 * One row of a table: the volume at the next, smaller noise.
 *
 * volume, predicted: Float32Arrays. row: {clean, noise, next}. draw: gives fresh normal numbers. still: what the first frame of
 * the clean volume is set to, by channel, or null; frame: [channels, frames, places] of the volume.
 */
export function ddimStep(volume, predicted, row, rule, draw, still = null, frame = null) {
  const clean = new Float32Array(volume.length);
  for (let i = 0; i < clean.length; i++) clean[i] = row.clean[0] * volume[i] + row.clean[1] * predicted[i];
  thresholded(clean, rule);
  if (still) {
    const [channels, frames, places] = frame;
    for (let c = 0; c < channels; c++) clean.fill(still[c], c * frames * places, (c * frames + 1) * places);
  }
  const [ofClean, ofNoise, ofFresh] = row.next;
  const fresh = ofFresh ? draw(volume.length) : null;
  const out = new Float32Array(volume.length);
  for (let i = 0; i < out.length; i++) {
    const rest = row.noise[0] * volume[i] + row.noise[1] * predicted[i];
    out[i] = ofClean * clean[i] + ofNoise * rest + (fresh ? ofFresh * fresh[i] : 0);
  }
  return out;
}

/** At most so many tokens of a text: its end is left out, the mark of its end stays. */
export function tokenIds(ids, most) {
  return ids.length > most ? [...ids.slice(0, most - 1), ids.at(-1)] : [...ids];
}

/** The number of the label that a text is, whatever its case and blanks; else the text. */
export function labelOrText(about, text) {
  const plain = text.normalize("NFKC").trim().replace(/\s+/g, " ").toLowerCase();
  const number = about.labels?.normalized.indexOf(plain) ?? -1;
  return number < 0 ? text.trim() : number;
}

/**
 * The number of the label that a picture shows already; null where it shows none, where that is asked for, and without guidance,
 * which leads away from it.
 *
 * label: its number, or a sentence. scores: of `about.shown.labels`.
 */
export function seenLabel(about, label, scores) {
  const most = scores.indexOf(Math.max(...scores));
  const { guidance_scale: guidance } = about.sampling;
  if (label === null || !(scores[most] > 0) || guidance === 0 || guidance === 1) return null;
  const seen = about.labels.texts.indexOf(about.shown.labels[most]);
  return seen === label ? null : seen;
}

/**
 * What the denoiser is asked about, and the share of each answer: the label and, with guidance, no label, or the one that the picture
 * shows already.
 */
export function guided(about, label, seen) {
  if (label === null) return [{ label, weight: 1 }];
  const guidance = (seen === null ? about.sampling : about.shown).guidance_scale;
  return [{ label, weight: guidance }, { label: seen, weight: 1 - guidance }].filter(({ weight }) => weight);
}
