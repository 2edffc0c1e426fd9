// Frames as an animated GIF, which says that it was generated.
import { GIFEncoder, applyPalette, quantize } from "./runtime/gifenc.esm.js";

/** RGBA bytes at a smaller size, the mean of what each pixel covers. */
function shrunk(rgba, width, height, to) {
  const [w, h] = to;
  if (w === width && h === height) return rgba;
  const out = new Uint8ClampedArray(4 * w * h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const [left, right] = [Math.floor((x * width) / w), Math.ceil(((x + 1) * width) / w)];
      const [top, bottom] = [Math.floor((y * height) / h), Math.ceil(((y + 1) * height) / h)];
      for (let c = 0; c < 4; c++) {
        let sum = 0;
        for (let j = top; j < bottom; j++) for (let i = left; i < right; i++) sum += rgba[4 * (j * width + i) + c];
        out[4 * (y * w + x) + c] = sum / ((right - left) * (bottom - top));
      }
    }
  return out;
}

/** A comment extension of GIF89a: blocks of at most 255 bytes. */
function commentBlock(text) {
  const bytes = new TextEncoder().encode(text);
  const out = [0x21, 0xfe];
  for (let at = 0; at < bytes.length; at += 255) {
    const part = bytes.subarray(at, at + 255);
    out.push(part.length, ...part);
  }
  return Uint8Array.from([...out, 0]);
}

/** The bytes of a GIF of `count` frames that `pixels(n)` gives, `delay` milliseconds each, no side above `largest` pixels. */
export function gif(count, pixels, { width, height }, delay, comment, largest) {
  const scale = Math.min(1, largest / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const encoder = GIFEncoder();
  for (let n = 0; n < count; n++) {
    const rgba = shrunk(pixels(n), width, height, size);
    const palette = quantize(rgba, 256);
    encoder.writeFrame(applyPalette(rgba, palette), ...size, { palette, delay, repeat: 0 });
  }
  const body = encoder.bytesView(); // up to the trailer, which `finish` would write
  const block = commentBlock(comment);
  const out = new Uint8Array(body.length + block.length + 1);
  out.set(body);
  out.set(block, body.length);
  out[out.length - 1] = 0x3b;
  return out;
}
