// What face-api (npm: @vladmandic/face-api, MIT), which learnt from photographs, sees in frames: a line of JSON for each clip.
// node read_faces.js NODE_MODULES: each line of standard input, "file<TAB>width<TAB>height<TAB>frames", names a file of raw RGB frames.
"use strict";
const fs = require("fs");
const path = require("path");
const readline = require("readline");
const modules = path.resolve(process.argv[2]);
const tf = require(path.join(modules, "@tensorflow/tfjs"));
const wasm = require(path.join(modules, "@tensorflow/tfjs-backend-wasm"));
const faceapi = require(path.join(modules, "@vladmandic/face-api/dist/face-api.node-wasm.js"));

async function main() {
  wasm.setWasmPaths(path.join(modules, "@tensorflow/tfjs-backend-wasm/dist/"));
  await tf.setBackend("wasm");
  await tf.ready();
  const nets = faceapi.nets;
  for (const net of [nets.ssdMobilenetv1, nets.faceLandmark68Net, nets.faceExpressionNet, nets.faceRecognitionNet]) {
    await net.loadFromDisk(path.join(modules, "@vladmandic/face-api/model"));
  }
  const options = new faceapi.SsdMobilenetv1Options({ minConfidence: 0.3, maxResults: 1 });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [file, width, height, frames] = line.split("\t").map((each, i) => (i ? Number(each) : each));
    const raw = fs.readFileSync(file);
    const seen = [];
    for (let i = 0; i < frames; i++) {
      const frame = tf.tensor3d(raw.subarray(i * width * height * 3, (i + 1) * width * height * 3), [height, width, 3], "int32");
      const face = await faceapi.detectSingleFace(frame, options).withFaceLandmarks().withFaceExpressions().withFaceDescriptor();
      frame.dispose();
      seen.push(face ? { expressions: face.expressions, identity: Array.from(face.descriptor) } : null);
    }
    console.log(JSON.stringify(seen));
  }
}

main();
