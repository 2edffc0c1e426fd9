// What the page asks of its two workers, as promises.

class Caller {
  constructor(file) {
    this.worker = new Worker(new URL(file, import.meta.url), { type: "module" });
    this.waiting = new Map();
    this.next = 1;
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.broken = new Error(event.message || `The page's file ${file} could not be loaded: is there a network?`);
      for (const { reject } of this.waiting.values()) reject(this.broken);
      this.waiting.clear();
    };
  }

  send(message, told, transfer = []) {
    if (this.broken) return Promise.reject(this.broken);
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, told });
      this.worker.postMessage({ id, ...message }, transfer);
    });
  }
}

export class Stopped extends Error {}

/** Opens pictures and renders frames; each action is in frames-worker.js. */
export class Frames extends Caller {
  constructor() {
    super("./frames-worker.js");
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.waiting.get(id) ?? {};
      this.waiting.delete(id);
      if (error) reject?.(new Error(error));
      else resolve?.(result);
    };
  }

  ask(action, rest = {}, transfer = []) {
    return this.send({ action, ...rest }, null, transfer);
  }
}

/** Loads the model and generates. */
export class Model extends Caller {
  constructor() {
    super("./model-worker.js");
    this.worker.onmessage = ({ data }) => {
      const id = data.type === "ready" ? this.loading : data.id;
      const entry = this.waiting.get(id);
      if (data.type === "progress") return entry?.told?.(data);
      this.waiting.delete(id);
      if (data.type === "error") entry?.reject(new Error(data.message));
      else if (data.type === "stopped") entry?.reject(new Stopped());
      else entry?.resolve(data);
    };
  }

  load(model) {
    this.loading = this.next;
    return this.send({ type: "load", model });
  }

  /** A request as model-worker.js takes it; `told` hears of progress. */
  generate(request, told) {
    return this.send({ type: "generate", ...request }, told);
  }

  stop() {
    this.worker.postMessage({ type: "stop" });
  }
}
