// Pictures in, frames out: opens a picture, frames it for the model, renders clips at its own size, and writes GIFs.
import { fitted, frameBox } from "./framing.js";
import { PlainRenderer, ShaderRenderer } from "./rendering.js";
import { gif } from "./gif.js";

const LARGEST = 2048; // longest side of a picture that is worked on
const LARGEST_PLAIN = 768; // and where there is no WebGL

let renderer;
try {
  renderer = new ShaderRenderer();
} catch {
  renderer = new PlainRenderer();
}

const plain = () => renderer instanceof PlainRenderer;
let picture = null;

const actions = {
  /** Reads a picture; `blob` is a file's. */
  async open({ blob }) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(blob);
    } catch {
      throw new Error("This file is no picture that your browser can read; choose a PNG, JPEG or WebP.");
    }
    const scale = Math.min(1, (plain() ? LARGEST_PLAIN : LARGEST) / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
    const canvas = new OffscreenCanvas(width, height);
    const drawing = canvas.getContext("2d", { willReadFrequently: true });
    drawing.fillStyle = "white"; // what is transparent, as the model was trained
    drawing.fillRect(0, 0, width, height);
    drawing.imageSmoothingQuality = "high";
    drawing.drawImage(bitmap, 0, 0, width, height);
    bitmap.close();
    picture = { width, height, rgba: drawing.getImageData(0, 0, width, height).data };
    const shown = canvas.transferToImageBitmap();
    return [{ width, height, bitmap: shown }, [shown]];
  },

  /** The picture as the model sees it, at each of `sides`. */
  frame({ sides, fit }) {
    const { width, height, rgba } = picture;
    const pictures = sides.map((side) => fitted(rgba, width, height, side, fit));
    return [{ pictures, box: frameBox(width, height, sides[0], fit) }, pictures.map((each) => each.buffer)];
  },

  clip({ clip }) {
    if (renderer.gl?.isContextLost()) renderer = new PlainRenderer();
    renderer.open(picture, clip);
    return [{ frames: clip.frames, by: plain() ? "JavaScript" : "WebGL" }];
  },

  async draw({ index }) {
    const bitmap = await renderer.bitmap(index);
    return [{ bitmap }, [bitmap]];
  },

  pixels({ index }) {
    const pixels = renderer.pixels(index);
    return [{ pixels, width: picture.width, height: picture.height }, [pixels.buffer]];
  },

  gif({ order, delay, comment, largest }) {
    const bytes = gif(order.length, (n) => renderer.pixels(order[n]), picture, delay, comment, largest);
    return [{ bytes }, [bytes.buffer]];
  },
};

let queue = Promise.resolve(); // one after the other: an action may wait for the browser
onmessage = ({ data: { id, action, ...rest } }) => {
  queue = queue.then(async () => {
    try {
      const [result, transfer] = await actions[action](rest);
      postMessage({ id, result }, transfer ?? []);
    } catch (error) {
      postMessage({ id, error: String(error.message ?? error) });
    }
  });
};
