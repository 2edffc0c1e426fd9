// Keeps the page's files, so that it works without a network, and adds the headers that threads need where a host does not.
//
// FILES, which `lfdm web` writes, names every file with the SHA-256 of its content. A file is kept under that hash: what has not
// changed is not fetched again, and no file of one version runs beside those of another.
importScripts("./files.js");

const CACHE = "lfdm-web";
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": CONTENT_SECURITY_POLICY,
};
const scope = new URL("./", self.location);
const keptAs = (path) => new URL(`kept/${FILES[path]}/${path}`, scope).href;

async function hashOf(buffer) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", buffer));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A file from the cache, else from the network, checked, into the cache. */
async function file(path) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(keptAs(path));
  if (kept) return kept;
  const answer = await fetch(new URL(path, scope), { cache: "no-cache" });
  if (!answer.ok) return answer;
  const body = await answer.arrayBuffer();
  const headers = { "Content-Type": answer.headers.get("Content-Type") ?? "application/octet-stream", ...HEADERS };
  const response = new Response(body, { headers });
  if ((await hashOf(body)) !== FILES[path]) return response; // another version is being put there: shown, not kept
  try {
    await cache.put(keptAs(path), response.clone());
  } catch {
    /* no room: it works, but needs the network */
  }
  return response;
}

// The runtime's files and the model are kept when the page first loads them: it needs one of two runtimes.
const light = (path) => !/^(runtime\/ort|model\/)/.test(path);
self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(Promise.all(Object.keys(FILES).filter(light).map(file)));
});
self.addEventListener("activate", (event) => {
  const sweep = async () => {
    await self.clients.claim();
    const cache = await caches.open(CACHE);
    const wanted = new Set(Object.keys(FILES).map(keptAs));
    for (const request of await cache.keys()) if (!wanted.has(request.url)) await cache.delete(request);
  };
  event.waitUntil(sweep());
});
self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  const path = decodeURIComponent(url.pathname.slice(scope.pathname.length)) || "index.html";
  if (path in FILES) event.respondWith(file(path));
});
