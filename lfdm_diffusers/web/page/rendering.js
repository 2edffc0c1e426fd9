// Frames at the picture's own size: lfdm_diffusers/pipelines/rendering.py for one subject, as a WebGL2 shader and, where that is
// missing, in plain JavaScript.
//
// clip = {frames, box, flow: {data, width, height}, paint: {data, width, height}}
//   flow   departures from rest (F, height, width, 2) in units of the grid
//   paint  red, green, blue and the share of them that is taken, (F, height, width, 4), in [0, 1]

const BORDER = 0.15; // of a box's half side: where motion fades out towards the picture around it
const smoothstep = (x) => x * x * (3 - 2 * x);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** How much each of `size` pixels of an axis moves, if the box reaches from `low` to `high`; 0 outside. */
export function fades(low, high, size) {
  const border = Math.max(1, (BORDER * (high - low)) / 2);
  const [start, stop] = [Math.max(0, Math.trunc(low)), Math.min(size, Math.ceil(high))];
  return Float32Array.from({ length: size }, (_, i) => {
    if (i < start || i >= stop) return 0;
    let fade = 1;
    if (low > 0) fade = Math.min(fade, (i - Math.max(low, start)) / border);
    if (high < size) fade = Math.min(fade, (Math.min(high, stop) - i - 1) / border);
    return smoothstep(clamp(fade, 0, 1));
  });
}

const VERTEX = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4. - 1., 0., 1.); }`;

const FRAGMENT = `#version 300 es
precision highp float; precision highp int; precision highp sampler2D; precision highp sampler2DArray;
uniform sampler2D picture, across, down;
uniform sampler2DArray flow, paint;
uniform vec4 box; // left, top, right, bottom, in pixels
uniform int layer;
out vec4 colour;

// Keys' cubic convolution with a = -.75, as torch's.
vec4 cubic(float t) {
  vec4 d = vec4(t + 1., t, 1. - t, 2. - t);
  vec4 near = ((1.25 * d - 2.25) * d) * d + 1.;
  vec4 far = ((-.75 * d + 3.75) * d - 6.) * d + 3.;
  return vec4(far.x, near.y, near.z, far.w);
}
vec4 enlarged(sampler2DArray map, vec2 part) {
  ivec2 size = textureSize(map, 0).xy;
  vec2 place = part * vec2(size) - .5, first = floor(place);
  vec4 wx = cubic(place.x - first.x), wy = cubic(place.y - first.y), sum = vec4(0.);
  for (int j = 0; j < 4; j++) for (int i = 0; i < 4; i++) {
    ivec2 at = clamp(ivec2(first) + ivec2(i - 1, j - 1), ivec2(0), size - 1);
    sum += wx[i] * wy[j] * texelFetch(map, ivec3(at, layer), 0);
  }
  return sum;
}
float share(vec2 part) {
  ivec2 size = textureSize(paint, 0).xy;
  vec2 place = part * vec2(size) - .5, first = floor(place), t = place - first;
  float s[4];
  for (int n = 0; n < 4; n++)
    s[n] = texelFetch(paint, ivec3(clamp(ivec2(first) + ivec2(n & 1, n >> 1), ivec2(0), size - 1), layer), 0).a;
  return mix(mix(s[0], s[1], t.x), mix(s[2], s[3], t.x), t.y);
}
void main() {
  ivec2 size = textureSize(picture, 0);
  ivec2 at = ivec2(int(gl_FragCoord.x), size.y - 1 - int(gl_FragCoord.y));
  vec3 still = texelFetch(picture, at, 0).rgb;
  colour = vec4(still, 1.);
  float weight = texelFetch(across, ivec2(at.x, 0), 0).r * texelFetch(down, ivec2(at.y, 0), 0).r;
  if (weight == 0.) return;
  vec2 sides = box.zw - box.xy, part = (vec2(at) + .5 - box.xy) / sides;
  vec2 shift = weight * sides / 2. * enlarged(flow, part).xy;
  float alpha = weight * share(part);
  if (shift == vec2(0.) && alpha == 0.) return;
  vec2 place = vec2(at) + shift, first = floor(place);
  vec4 wx = cubic(place.x - first.x), wy = cubic(place.y - first.y);
  vec3 moved = vec3(0.);
  for (int j = 0; j < 4; j++) for (int i = 0; i < 4; i++)
    moved += wx[i] * wy[j] * texelFetch(picture, clamp(ivec2(first) + ivec2(i - 1, j - 1), ivec2(0), size - 1), 0).rgb;
  vec3 painted = clamp(enlarged(paint, part).rgb, 0., 1.);
  colour.rgb = clamp(clamp(moved, 0., 1.) * (1. - alpha) + alpha * painted, 0., 1.);
}`;

/** Draws by WebGL2 on an OffscreenCanvas; the constructor throws where there is none. */
export class ShaderRenderer {
  constructor() {
    this.canvas = new OffscreenCanvas(1, 1);
    const gl = (this.gl = this.canvas.getContext("webgl2", { alpha: false, antialias: false }));
    if (!gl) throw new Error("no WebGL2");
    const program = gl.createProgram();
    for (const [kind, text] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("the shader does not compile");
    gl.useProgram(program);
    this.at = (name) => gl.getUniformLocation(program, name);
    ["picture", "across", "down", "flow", "paint"].forEach((name, unit) => gl.uniform1i(this.at(name), unit));
  }

  texture(unit, target, upload) {
    const { gl } = this;
    this.textures ??= [];
    gl.deleteTexture(this.textures[unit] ?? null);
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(target, (this.textures[unit] = gl.createTexture()));
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(target, name, gl.NEAREST);
    upload();
  }

  open(picture, clip) {
    const { gl } = this;
    const { width, height, rgba } = picture;
    const { box, frames, flow, paint } = clip;
    this.canvas.width = width;
    this.canvas.height = height;
    gl.viewport(0, 0, width, height);
    this.texture(0, gl.TEXTURE_2D, () =>
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(rgba.buffer)),
    );
    [fades(box.left, box.right, width), fades(box.top, box.bottom, height)].forEach((fade, n) =>
      this.texture(1 + n, gl.TEXTURE_2D, () =>
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, fade.length, 1, 0, gl.RED, gl.FLOAT, fade),
      ),
    );
    for (const [unit, map, kind, layout] of [
      [3, flow, gl.RG32F, gl.RG],
      [4, paint, gl.RGBA32F, gl.RGBA],
    ])
      this.texture(unit, gl.TEXTURE_2D_ARRAY, () =>
        gl.texImage3D(
          gl.TEXTURE_2D_ARRAY, 0, kind, map.width, map.height, frames, 0, layout, gl.FLOAT, map.data,
        ),
      );
    gl.uniform4f(this.at("box"), box.left, box.top, box.right, box.bottom);
    this.size = [width, height];
  }

  draw(index) {
    this.gl.uniform1i(this.at("layer"), index);
    this.gl.drawArrays(this.gl.TRIANGLES, 0, 3);
    if (this.gl.isContextLost()) throw new Error("the graphics context was lost");
  }

  /** Frame `index`, RGBA bytes. */
  pixels(index) {
    const { gl } = this;
    const [width, height] = this.size;
    this.draw(index);
    const upside = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, upside);
    const out = new Uint8ClampedArray(upside.length);
    for (let y = 0; y < height; y++)
      out.set(upside.subarray(4 * (height - 1 - y) * width, 4 * (height - y) * width), 4 * y * width);
    return out;
  }

  bitmap(index) {
    this.draw(index);
    return this.canvas.transferToImageBitmap();
  }
}

/** Weights and places that read `values` at the pixels of an axis; cubic (four) or linear (two). */
function axisTaps(low, high, size, values, cubic) {
  return Array.from({ length: size }, (_, i) => {
    const place = ((i + 0.5 - low) * values) / (high - low) - 0.5;
    const first = Math.floor(place);
    const t = place - first;
    const weights = cubic ? cubicWeights(t) : [1 - t, t];
    return weights.map((weight, n) => [clamp(first + n - (cubic ? 1 : 0), 0, values - 1), weight]);
  });
}

function cubicWeights(t) {
  const near = (d) => (1.25 * d - 2.25) * d * d + 1;
  const far = (d) => ((-0.75 * d + 3.75) * d - 6) * d + 3;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/** The same without WebGL. */
export class PlainRenderer {
  open(picture, clip) {
    this.picture = picture;
    this.clip = clip;
    const { box } = clip;
    const axes = (map, cubic) => [
      axisTaps(box.left, box.right, picture.width, map.width, cubic),
      axisTaps(box.top, box.bottom, picture.height, map.height, cubic),
    ];
    this.fades = [fades(box.left, box.right, picture.width), fades(box.top, box.bottom, picture.height)];
    this.taps = { flow: axes(clip.flow, true), paint: axes(clip.paint, true), share: axes(clip.paint, false) };
  }

  pixels(index) {
    const { width, height, rgba } = this.picture;
    const { box, flow, paint } = this.clip;
    const out = new Uint8ClampedArray(rgba);
    const [across, down] = this.fades;
    const halves = [(box.right - box.left) / 2, (box.bottom - box.top) / 2];
    const channels = (map, depth) => map.data.subarray(index * depth * map.width * map.height);
    const [flows, paints] = [channels(flow, 2), channels(paint, 4)];
    const read = (data, depth, channel, stride, [xs, ys], x, y) => {
      let sum = 0;
      for (const [j, v] of ys[y]) for (const [i, u] of xs[x]) sum += u * v * data[(j * stride + i) * depth + channel];
      return sum;
    };
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const weight = across[x] * down[y];
        if (!weight) continue;
        const dx = weight * halves[0] * read(flows, 2, 0, flow.width, this.taps.flow, x, y);
        const dy = weight * halves[1] * read(flows, 2, 1, flow.width, this.taps.flow, x, y);
        const alpha = weight * read(paints, 4, 3, paint.width, this.taps.share, x, y);
        if (!dx && !dy && !alpha) continue;
        const [left, top] = [Math.floor(x + dx), Math.floor(y + dy)];
        const [wx, wy] = [cubicWeights(x + dx - left), cubicWeights(y + dy - top)];
        for (let c = 0; c < 3; c++) {
          let moved = 0;
          for (let j = 0; j < 4; j++) {
            const row = clamp(top + j - 1, 0, height - 1) * width;
            for (let i = 0; i < 4; i++)
              moved += wx[i] * wy[j] * rgba[4 * (row + clamp(left + i - 1, 0, width - 1)) + c];
          }
          const painted = alpha && clamp(read(paints, 4, c, paint.width, this.taps.paint, x, y), 0, 1);
          out[4 * (y * width + x) + c] = clamp(moved, 0, 255) * (1 - alpha) + 255 * alpha * painted;
        }
      }
    return out;
  }

  async bitmap(index) {
    const { width, height } = this.picture;
    return createImageBitmap(new ImageData(this.pixels(index), width, height));
  }
}
