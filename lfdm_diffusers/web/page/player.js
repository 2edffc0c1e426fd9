// Plays a clip on a canvas: asks the worker for each frame when its time comes, and keeps those of small clips.

const MOST_KEPT = 64e6; // bytes of frames

export class Player {
  /** canvas: to draw on. rate: frames a second. `frames` is set when the worker is there. */
  constructor(canvas, rate) {
    Object.assign(this, { canvas, frames: null, rate, thereAndBack: true, count: 0, kept: [], run: 0 });
    this.drawing = canvas.getContext("2d");
  }

  show(bitmap) {
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height)
      Object.assign(this.canvas, { width: bitmap.width, height: bitmap.height });
    this.drawing.drawImage(bitmap, 0, 0);
  }

  /** Numbers of the frames in the order in which they are shown. */
  order() {
    const there = [...Array(this.count).keys()];
    return this.thereAndBack ? [...there, ...there.slice(1, -1).reverse()] : there;
  }

  play(count, { width, height }) {
    this.close();
    this.count = count;
    this.keeps = count * width * height * 4 <= MOST_KEPT;
    this.restart();
  }

  /** From the first frame; ends after one passage unless it goes there and back. */
  async restart(passages = this.thereAndBack ? Infinity : 1) {
    if (!this.count) return;
    const run = ++this.run;
    const order = this.order();
    let due = performance.now();
    for (let n = 0; n < passages * order.length; n++) {
      const index = order[n % order.length];
      let bitmap = this.kept[index];
      if (!bitmap) {
        try {
          ({ bitmap } = await this.frames.ask("draw", { index }));
        } catch (error) {
          if (run === this.run) throw error;
          return;
        }
        if (run !== this.run) return bitmap.close();
        if (this.keeps) this.kept[index] = bitmap;
      }
      await new Promise((go) => setTimeout(go, Math.max(0, due - performance.now())));
      await new Promise((go) => requestAnimationFrame(go));
      if (run !== this.run) return;
      this.show(bitmap);
      this.index = index;
      if (!this.keeps) bitmap.close();
      due = Math.max(due + 1000 / this.rate, performance.now());
    }
  }

  pause() {
    this.run++;
  }

  close() {
    this.run++;
    this.count = 0;
    for (const bitmap of this.kept) bitmap?.close();
    this.kept = [];
  }
}
