// The page: what its buttons do.
import { Frames, Model, Stopped } from "./engine.js";
import { Player } from "./player.js";
import { labelOrText } from "./sampling.js";
import { download, record, VIDEO_TYPE } from "./saving.js";

const $ = (id) => document.getElementById(id);
const GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"; // IPTC DigitalSourceType
const LARGEST_GIF = 640; // longest side
const FRAMES_A_SECOND = 10;

// Workers are made when the service worker is there: what they load before, it would not keep.
export let frames = null;
export let model = null;
export const state = { about: null, busy: false, clip: null, opened: null, last: null };
export const player = new Player($("canvas"), FRAMES_A_SECOND);

function tell(text, error = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", error);
}

function bar(share) {
  $("progress").firstElementChild.style.width = `${100 * share}%`;
  $("progress").setAttribute("aria-valuenow", Math.round(100 * share));
}

function refresh() {
  $("go").disabled = state.busy || !state.about || !state.opened;
  $("stop").hidden = !state.busy;
  $("save-gif").disabled = !state.clip || state.busy;
  $("save-video").disabled = !state.clip || state.busy || !VIDEO_TYPE;
}

/** Shows what goes wrong in `action` as a sentence. */
const guarded = (action) => async (...given) => {
  try {
    return await action(...given);
  } catch (error) {
    tell(error.message, true);
  }
};

/** Opens a picture: a Blob of a file. */
export const openPicture = guarded(async (blob, chosen = null) => {
  if (!frames) return;
  if (state.busy) model.stop();
  const opened = await frames.ask("open", { blob });
  player.close();
  state.clip = null;
  state.opened = opened;
  player.show(opened.bitmap);
  $("drop").classList.add("shown");
  $("fitting").hidden = opened.width === opened.height;
  for (const button of $("examples").children) button.setAttribute("aria-pressed", button === chosen);
  bar(0);
  if (state.about) tell("Choose what it does.");
  refresh();
});

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;

export const generate = guarded(async (extra = {}) => {
  if (state.busy || !state.about || !state.opened) return;
  state.busy = true;
  refresh();
  try {
    const { about } = state;
    const paint = $("paint").checked && Boolean(about.painter);
    const sides = [about.picture.size, ...(paint ? [about.picture.size * about.painter.scale] : [])];
    const opened = state.opened;
    const framed = await frames.ask("frame", { sides, fit: chosen("fit") });
    const sentence = about.text ? $("sentence").value.trim() : "";
    const label = sentence ? labelOrText(about, sentence) : about.labels ? Number(chosen("label")) : null;
    const request = {
      pictures: framed.pictures, label, paint, seed: Number($("seed").value) >>> 0, steps: $("steps").value,
      scale: Number($("scale").value), ...extra,
    };
    const made = await model.generate(request, ({ what, fraction, left }) => {
      bar(fraction);
      tell(`${what[0].toUpperCase()}${what.slice(1)}, ${left < 1 ? "less than a second" : `${Math.ceil(left)} s`} left`);
    });
    if (opened !== state.opened) return; // another picture meanwhile
    state.last = { ...made, framed };
    await frames.ask("clip", { clip: { ...made.clip, box: framed.box } });
    state.clip = { name: request.label === null ? "clip" : about.labels?.texts[request.label] ?? request.label, seed: request.seed };
    bar(1);
    const led = made.seen === null ? "" : `, away from ${about.labels.texts[made.seen]}, which the picture shows`;
    const strange = made.strange ? ". The model learnt from no sentence like this: the clip may have nothing to do with it" : "";
    tell(`${state.clip.name[0].toUpperCase()}${state.clip.name.slice(1)}${led}, made in ${made.seconds.toFixed(1)} s${strange}`);
    player.play(made.clip.frames, opened);
  } catch (error) {
    bar(0);
    if (!(error instanceof Stopped)) throw error;
    tell("Stopped.");
  } finally {
    state.busy = false;
    refresh();
  }
});

function prepare({ about, device, threads }) {
  state.about = about;
  const texts = about.labels?.texts ?? [];
  const first = Math.max(0, texts.indexOf("happiness"));
  $("labels").replaceChildren(
    ...texts.map((text, n) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: "label", value: n, checked: n === first });
      label.append(input, Object.assign(document.createElement("span"), { textContent: text }));
      return label;
    }),
  );
  $("labels").parentElement.hidden = !texts.length && !about.text;
  $("own-words").hidden = !about.text;
  if (about.text?.examples?.length) $("sentence").placeholder = about.text.examples[0];
  $("steps").replaceChildren(
    ...Object.keys(about.sampling.steps).map((count) => {
      const usual = Number(count) === about.sampling.default_num_inference_steps;
      return Object.assign(document.createElement("option"), {
        value: count, textContent: usual ? `${count} (usual)` : count, selected: usual,
      });
    }),
  );
  for (const id of ["paint-label", "paint"]) $(id).hidden = !about.painter;
  $("paint-note").hidden = !about.painter;
  const { frames: count } = about.volume;
  const by = device === "webgpu" ? "WebGPU" : `WebAssembly on ${threads === 1 ? "one thread" : `${threads} threads`}`;
  $("facts").textContent = `${count} frames a clip, computed by ${by}. Once loaded, the page works without a network.`;
  tell(state.opened ? "Choose what it does." : "Choose a picture.");
  refresh();
}

async function showExamples() {
  const { examples } = await (await fetch("./page.json")).json();
  for (const file of examples) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(Object.assign(new Image(), { src: file, alt: `Example ${$("examples").children.length + 1}` }));
    button.onclick = guarded(async () => openPicture(await (await fetch(file)).blob(), button));
    $("examples").append(button);
  }
  $("examples").hidden = !examples.length;
  if (!state.opened) await $("examples").firstElementChild?.onclick();
}

/** The camera's middle square, as a picture. */
const useCamera = guarded(async () => {
  const video = $("camera");
  if (video.srcObject) {
    const side = Math.min(video.videoWidth, video.videoHeight);
    const shot = new OffscreenCanvas(side, side);
    const [left, top] = [(video.videoWidth - side) / 2, (video.videoHeight - side) / 2];
    shot.getContext("2d").drawImage(video, left, top, side, side, 0, 0, side, side);
    closeCamera();
    return openPicture(await shot.convertToBlob({ type: "image/png" }));
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: 1280, height: 960 } });
  } catch {
    throw new Error("The camera cannot be used: there is none, or this page may not use it.");
  }
  player.pause();
  video.srcObject = stream;
  video.hidden = false;
  $("canvas").hidden = true;
  $("webcam").textContent = "Take the picture";
  await video.play();
});

function closeCamera() {
  const video = $("camera");
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  video.hidden = true;
  $("canvas").hidden = false;
  $("webcam").textContent = "Use the camera";
}

const fileName = (ending) => `${state.clip.name}-${state.clip.seed}.${ending}`.replace(/[^\w.-]+/g, "-");

const save = (action) =>
  guarded(async () => {
    state.busy = true;
    refresh();
    $("stop").hidden = true;
    tell("Writing the file …");
    try {
      await action();
      tell("Saved.");
    } finally {
      state.busy = false;
      refresh();
    }
  });

$("form").onsubmit = (event) => {
  event.preventDefault();
  closeCamera();
  generate();
};
$("stop").onclick = () => model.stop();
$("another").onclick = () => {
  $("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] % 100000;
  generate();
};
$("scale").oninput = () => ($("scale-shown").textContent = Number($("scale").value).toFixed(1));
$("file").onchange = ({ target }) => {
  if (target.files[0]) {
    closeCamera();
    openPicture(target.files[0]);
  }
  target.value = "";
};
$("webcam").onclick = useCamera;
for (const [id, there] of [["once", false], ["loop", true]])
  $(id).onclick = () => {
    $("once").setAttribute("aria-pressed", !there);
    $("loop").setAttribute("aria-pressed", there);
    player.thereAndBack = there;
    player.restart();
  };
$("save-gif").onclick = save(async () => {
  const asked = { order: player.order(), delay: 1000 / FRAMES_A_SECOND, comment: GENERATED, largest: LARGEST_GIF };
  const { bytes } = await frames.ask("gif", asked);
  download(new Blob([bytes], { type: "image/gif" }), fileName("gif"));
});
$("save-video").onclick = save(async () => {
  const blob = await record($("canvas"), player);
  download(blob, fileName(VIDEO_TYPE.includes("webm") ? "webm" : "mp4"));
});
// The last that was chosen counts: a label, or words.
const showWords = () => $("labels").classList.toggle("aside", Boolean($("sentence").value.trim()));
$("sentence").addEventListener("input", showWords);
$("labels").addEventListener("click", () => {
  $("sentence").value = "";
  showWords();
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) openPicture(file);
});
addEventListener("paste", ({ clipboardData }) => {
  const [file] = clipboardData.files;
  if (file) openPicture(file);
});

/** Waits for the service worker, so that all that is loaded is kept; once, reloads where only it can bring threads. */
async function keepFiles() {
  if (!navigator.serviceWorker) return true;
  const claimed = new Promise((go) => navigator.serviceWorker.addEventListener("controllerchange", go, { once: true }));
  try {
    await navigator.serviceWorker.register("./sw.js", { updateViaCache: "none" });
    if (!navigator.serviceWorker.controller) await Promise.race([claimed, new Promise((go) => setTimeout(go, 10000))]);
  } catch {
    return true; // a browser that forbids it, as in a private window: the page works, with the network
  }
  if (!crossOriginIsolated && navigator.serviceWorker.controller && window.top === window && !sessionStorage.lfdmReloaded) {
    sessionStorage.lfdmReloaded = "yes";
    location.reload();
    return false;
  }
  return true;
}

export const ready = guarded(async () => {
  refresh();
  if (!(await keepFiles())) return;
  player.frames = frames = new Frames();
  model = new Model();
  const examples = guarded(showExamples)();
  prepare(await model.load("./model/"));
  await examples;
})();
