// Runs the page's pure parts on what standard input holds, and writes what they make: {name: array}.
import { readFileSync } from "node:fs";

const page = new URL("../../lfdm_diffusers/web/page/", import.meta.url);
const load = (file) => import(new URL(file, page));
const [{ ddimStep, guided, labelOrText, seenLabel, tokenIds }, { normals }, { fitted, frameBox }, motion, { PlainRenderer }] = await Promise.all(
  ["sampling.js", "normals.js", "framing.js", "motion.js", "rendering.js"].map(load),
);
const floats = (values) => Float32Array.from(values);
const given = JSON.parse(readFileSync(0, "utf8"));
const { ddim, frames: pictures, clip, volume } = given;
const out = { normals: normals(given.seed)(given.count), again: normals(given.seed)(8), other: normals(given.seed + 1)(8) };

let x = floats(ddim.volume);
const draws = ddim.draws.map(floats);
ddim.rows.forEach((row, n) => {
  x = ddimStep(x, floats(ddim.predicted[n]), row, ddim.rule, () => draws.shift());
});
out.ddim = x;

out.guided = given.guided.map(({ about, label, scores }) =>
  guided(about, label, seenLabel(about, label, Float32Array.from(scores))).map(({ label, weight }) => [label, weight]),
);

out.said = given.said.texts.map((text) => labelOrText(given.said.about, text));
out.tokens = given.said.most.map((most) => tokenIds([101, 7, 8, 9, 102], most));

out.framed = pictures.map(({ rgba, width, height, side, fit }) => [
  ...fitted(Uint8ClampedArray.from(rgba), width, height, side, fit),
]);
out.boxes = pictures.map(({ width, height, side, fit }) => frameBox(width, height, side, fit));

const { flow, occlusion } = motion.motionOf(floats(volume.values), volume.about, volume.scale);
Object.assign(out, { flow, occlusion });

const { count, height, width, side } = clip;
const departure = motion.steadiedDeparture(floats(clip.flow), count, height, width);
const [decoded, warped] = [floats(clip.decoded), floats(clip.warped)];
out.steadied = motion.absoluteFlow(departure, count, height, width);
out.frames = [];
for (let f = 0; f < count; f++) {
  const active = motion.activity(departure, warped, decoded, f, [height, width], side);
  const here = departure.slice(f * 2 * height * width, (f + 1) * 2 * height * width);
  const moved = motion.atRest(here, 2, height, width, active, side);
  const unseen = motion.hidden(floats(clip.occlusion), f, height * width, clip.paint_below);
  const unlike = motion.atRest(motion.unlikeness(warped, decoded, f, side, clip.agreement), 1, side, side, unseen, height);
  const share = motion.atRest(unlike, 1, side, side, active, side);
  const flowData = new Float32Array(2 * height * width).map((_, i) => moved[(i % 2) * height * width + (i >> 1)]);
  const paintData = new Float32Array(4 * side * side).map((_, i) =>
    i % 4 === 3 ? share[i >> 2] : decoded[(f * 3 + (i % 4)) * side * side + (i >> 2)],
  );
  const renderer = new PlainRenderer();
  renderer.open(
    { width: clip.picture.width, height: clip.picture.height, rgba: Uint8ClampedArray.from(clip.picture.rgba) },
    { box: clip.box, frames: 1, flow: { data: flowData, width, height }, paint: { data: paintData, width: side, height: side } },
  );
  out.frames.push([...renderer.pixels(0)]);
}
process.stdout.write(JSON.stringify(out, (_, value) => (ArrayBuffer.isView(value) ? [...value] : value)));
