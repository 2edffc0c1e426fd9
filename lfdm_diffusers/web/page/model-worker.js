// Denoises and decodes with ONNX Runtime: WebGPU where it gives wasm's numbers, else wasm.
import { ddimStep, guided, seenLabel, tokenIds } from "./sampling.js";
import { normals } from "./normals.js";
import {
  absoluteFlow, activity, atRest, departureOf, hidden, motionOf, steadiedDeparture, stillValues, unlikeness,
} from "./motion.js";

const RUNTIME = new URL("./runtime/", import.meta.url);
const ALIKE = 2e-2; // largest difference of WebGPU's prediction from wasm's
const MOST_THREADS = 8;

let ort, about, table, base, tokenizer;
let device = "wasm";
const sessions = {};
const files = {};
const costs = { encoder: 0.3, denoiser: 1, renderer: 0.6, painter: 0.3 }; // seconds, until measured
let stopped = false;

const say = (message, transfer = []) => postMessage(message, transfer);
const breath = () => new Promise((go) => setTimeout(go)); // lets a message in, "stop" for one

async function bytes(file) {
  const answer = await fetch(new URL(file, base)).catch(() => {
    throw new Error(`The file ${file} of the model could not be loaded: there is no network.`);
  });
  if (!answer.ok) throw new Error(`The file ${file} of the model could not be loaded (${answer.status}).`);
  return answer;
}

async function open(name, provider) {
  return ort.InferenceSession.create(files[name].slice(), { executionProviders: [provider], graphOptimizationLevel: "all" });
}

async function load({ model }) {
  base = new URL(model, import.meta.url);
  about = await (await bytes("runner.json")).json();
  if (about.format !== 2) throw new Error(`This page reads models of format 2; runner.json has ${about.format}.`);
  let adapter = null;
  try {
    adapter = await navigator.gpu?.requestAdapter();
  } catch {
    /* as if there were none */
  }
  const gpu = adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  ort = await import(new URL(gpu ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs", RUNTIME));
  const build = `ort-wasm-simd-threaded${gpu ? ".asyncify" : ""}`;
  ort.env.wasm.wasmPaths = { mjs: new URL(`${build}.mjs`, RUNTIME).href, wasm: new URL(`${build}.wasm`, RUNTIME).href };
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  ort.env.logLevel = "error";
  const names = Object.keys(about.graphs);
  await Promise.all(
    names.map(async (name) => {
      files[name] = new Uint8Array(await (await bytes(about.graphs[name].file)).arrayBuffer());
    }),
  );
  if (about.labels) table = new Float32Array(await (await bytes(about.labels.file)).arrayBuffer());
  if (about.text) {
    const { Tokenizer } = await import(new URL("tokenizers.min.mjs", RUNTIME));
    tokenizer = new Tokenizer(await (await bytes(about.text.tokenizer)).json(), {});
  }
  for (const name of names) sessions[name] = await open(name, "wasm");
  if (gpu) await tryGpu();
  for (const name of names) delete files[name];
  say({ type: "ready", about, device, threads: ort.env.wasm.numThreads });
}

/** Puts the denoiser on WebGPU if that gives wasm's numbers. */
async function tryGpu() {
  try {
    const session = await open("denoiser", "webgpu");
    const { inputs } = about.graphs.denoiser;
    const draw = normals(0);
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, { shape }]) => [
        name,
        name === "timestep" ? timestep(about.sampling.steps[about.sampling.default_num_inference_steps][0].timestep)
          : tensor(draw(shape.reduce((a, b) => a * b)), shape),
      ]),
    );
    const [one, other] = [await session.run(feeds), await sessions.denoiser.run(feeds)].map((out) => out.prediction.data);
    if (!one.every((value, i) => Math.abs(value - other[i]) <= ALIKE)) throw new Error("other numbers");
    await sessions.denoiser.release();
    sessions.denoiser = session;
    device = "webgpu";
  } catch {
    device = "wasm";
  }
}

const tensor = (data, shape) => new ort.Tensor("float32", data, shape);
const timestep = (value) => new ort.Tensor("int64", BigInt64Array.of(BigInt(value)), [1]);

/** Runs a graph, and remembers how long it takes. */
async function run(name, feeds) {
  await breath();
  if (stopped) throw new Error("stopped");
  const start = performance.now();
  const out = await sessions[name].run(feeds);
  costs[name] = (performance.now() - start) / 1000;
  return out;
}

/**
 * One clip.
 *
 * pictures: planes in [0, 1] at the model's size, and at the painter's. label: its number, a sentence, or null. seed, steps, scale: of noise,
 * of denoising, of the motion. noise: Float32Arrays to be taken instead of draws, one after the other; for tests.
 */
async function generate({ id, pictures, label, seed, steps, scale, noise, paint }) {
  stopped = false;
  const { volume: shape, picture: { size }, graphs } = about;
  const { channels, frames, height, width } = shape;
  const rows = about.sampling.steps[steps];
  const painted = paint && graphs.painter && pictures.length > 1;
  const passes = guided(about, label, null).length;
  const plan = ["encoder", ...rows.flatMap(() => Array(passes).fill("denoiser")), "renderer", ...(painted ? Array(frames).fill("painter") : [])];
  let done = 0;
  const began = performance.now();
  const progress = (what) => {
    const left = plan.slice(done).reduce((sum, name) => sum + costs[name], 0);
    const spent = (performance.now() - began) / 1000;
    say({ type: "progress", id, what, share: done / plan.length, fraction: spent / (spent + left), left });
    done++;
  };
  const drawn = noise ? [...noise] : null;
  const draw = drawn ? () => drawn.shift() : normals(seed);
  progress("looking at the picture");
  const picture = tensor(pictures[0], [1, 3, size, size]);
  const { image_projection, shown, ...skips } = await run("encoder", { picture });
  const seen = seenLabel(about, label, shown?.data ?? []);
  const texts = [];
  let strange = false;
  for (const { label: said, weight } of guided(about, label, seen)) {
    const heard = await embedding(said);
    strange ||= said === label && heard.unlikeness > 1;
    texts.push({ text: heard.text, weight });
  }
  let volume = draw(channels * frames * height * width);
  const still = shape.first_frame_is_picture ? stillValues(shape) : null;
  for (const [n, row] of rows.entries()) {
    const predicted = new Float32Array(volume.length);
    for (const { text, weight } of texts) {
      progress(`step ${n + 1} of ${rows.length}`);
      const { prediction } = await run("denoiser", {
        volume: tensor(volume, [1, channels, frames, height, width]),
        timestep: timestep(row.timestep),
        text_embeds: text,
        image_projection,
      });
      for (let i = 0; i < predicted.length; i++) predicted[i] += weight * prediction.data[i];
    }
    const next = ddimStep(volume, predicted, row, about.sampling.thresholding, draw, still, [channels, frames, height * width]);
    volume = next;
  }
  progress("drawing frames");
  const { flow, occlusion } = motionOf(volume, shape, scale);
  const out = await run("renderer", {
    picture,
    flow: tensor(flow, [frames, 2, height, width]),
    occlusion: tensor(occlusion, [frames, 1, height, width]),
    ...skips,
  });
  const [decoded, warped] = [out.frames.data, out.warped.data];
  const departure = steadiedDeparture(flow, frames, height, width);
  const parts = [];
  for (let f = 0; f < frames; f++) {
    const active = activity(departure, warped, decoded, f, [height, width], size);
    let part = {
      flow: departure.subarray(f * 2 * height * width, (f + 1) * 2 * height * width), height, width,
      paint: decoded.subarray(f * 3 * size * size, (f + 1) * 3 * size * size), side: size,
      share: unlikeness(warped, decoded, f, size, about.agreement),
    };
    if (painted) {
      progress(`painting frame ${f + 1} of ${frames}`);
      part = await paintedPart(part, f, pictures[1], occlusion, warped);
    }
    if (about.paint_below)
      part.share = atRest(part.share, 1, part.side, part.side, hidden(occlusion, f, height * width, about.paint_below), height);
    part.flow = atRest(part.flow, 2, part.height, part.width, active, size);
    part.share = atRest(part.share, 1, part.side, part.side, active, size);
    parts.push(part);
  }
  const clip = { frames, flow: interleavedFlow(parts), paint: interleavedPaint(parts) };
  const seconds = (performance.now() - began) / 1000;
  const model = { frames: decoded.slice(), flow, occlusion };
  say({ type: "clip", id, clip, model, seconds, seen, strange }, [clip.flow.data.buffer, clip.paint.data.buffer]);
}

/**
 * Of a label, a sentence, or none: `text`, a vector, or in the rows of a matrix one and the tokens of its text; of a sentence also its
 * `unlikeness`, above 1 where it is unlike all that the model learnt from.
 */
async function embedding(label) {
  if (typeof label === "string") {
    const ids = tokenIds(tokenizer.encode(label).ids, about.text.max_tokens);
    const whole = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, ids.length]);
    const given = { input_ids: whole(ids), attention_mask: whole(ids.map(() => 1)) };
    const heard = await sessions[about.text.graph].run(given);
    return { text: heard.text_embeds, unlikeness: heard.unlikeness?.data[0] ?? 0 };
  }
  if (label === null) {
    const none = about.null_embedding;
    const shape = Array.isArray(none[0]) ? [1, none.length, none[0].length] : [1, none.length];
    return { text: tensor(Float32Array.from(none.flat()), shape) };
  }
  const [count, ...sides] = about.labels.shape;
  if (!(label >= 0 && label < count)) throw new Error(`The label must be from 0 to ${count - 1}, got ${label}.`);
  const length = sides.reduce((product, side) => product * side, 1);
  return { text: tensor(table.slice(label * length, (label + 1) * length), [1, ...sides]) };
}

/** What the painter network says of frame `f`, in place of the plain rule. */
async function paintedPart(part, f, large, occlusion, warped) {
  const { height, width, side } = part;
  const out = await run("painter", {
    picture: tensor(large, about.graphs.painter.inputs.picture.shape),
    flow: tensor(absoluteFlow(part.flow, 1, height, width), [1, 2, height, width]),
    occlusion: tensor(occlusion.slice(f * height * width, (f + 1) * height * width), [1, 1, height, width]),
    frames: tensor(part.paint.slice(), [1, 3, side, side]),
    warped: tensor(warped.slice(f * 3 * side * side, (f + 1) * 3 * side * side), [1, 3, side, side]),
  });
  const [, , tall, wide] = out.finer_flow.dims;
  return {
    flow: departureOf(out.finer_flow.data, 1, tall, wide), height: tall, width: wide,
    paint: out.painted.data, share: out.share.data, side: out.painted.dims[2],
  };
}

/** (F, h, w, 2) of the parts' flows, as a texture takes them. */
function interleavedFlow(parts) {
  const { height, width } = parts[0];
  const data = new Float32Array(parts.length * height * width * 2);
  parts.forEach(({ flow }, f) => {
    for (let i = 0; i < height * width; i++)
      for (let c = 0; c < 2; c++) data[(f * height * width + i) * 2 + c] = flow[c * height * width + i];
  });
  return { data, width, height };
}

/** (F, h, w, 4) of what is painted, and its share. */
function interleavedPaint(parts) {
  const { side } = parts[0];
  const places = side * side;
  const data = new Float32Array(parts.length * places * 4);
  parts.forEach(({ paint, share }, f) => {
    for (let i = 0; i < places; i++) {
      for (let c = 0; c < 3; c++) data[(f * places + i) * 4 + c] = paint[c * places + i];
      data[(f * places + i) * 4 + 3] = share[i];
    }
  });
  return { data, width: side, height: side };
}

onmessage = async ({ data }) => {
  if (data.type === "stop") {
    stopped = true;
    return;
  }
  try {
    await { load, generate }[data.type](data);
  } catch (error) {
    say({ type: stopped ? "stopped" : "error", id: data.id, message: String(error.message ?? error) });
  }
};
