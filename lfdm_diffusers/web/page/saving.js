// Files that the browser's own means can write: a video by MediaRecorder, and a download.

const TYPES = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];
/** What this browser can record; undefined where nothing. */
export const VIDEO_TYPE = globalThis.MediaRecorder && TYPES.find((type) => MediaRecorder.isTypeSupported(type));

/** One passage of the clip that `player` plays on `canvas`, as a Blob; takes as long as the passage. */
export async function record(canvas, player) {
  const stream = canvas.captureStream(player.rate * 2);
  const recorder = new MediaRecorder(stream, { mimeType: VIDEO_TYPE, videoBitsPerSecond: 8e6 });
  const parts = [];
  recorder.ondataavailable = ({ data }) => data.size && parts.push(data);
  const ended = new Promise((resolve, reject) => {
    recorder.onstop = resolve;
    recorder.onerror = () => reject(new Error("This browser could not write the video; save a GIF instead."));
  });
  recorder.start();
  await player.restart(1);
  await new Promise((go) => setTimeout(go, 1000 / player.rate)); // the last frame's own time
  recorder.stop();
  await ended;
  for (const track of stream.getTracks()) track.stop();
  player.restart();
  return new Blob(parts, { type: VIDEO_TYPE.split(";")[0] });
}

/** Offers a Blob as a file. */
export function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
