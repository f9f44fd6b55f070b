// pictures.mjs: files that results point to: real ones, redirected ones, wrong ones.
import zlib from "node:zlib";

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

function crc32(data) {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** A valid PNG of one colour. */
export function png(width = 8, height = 8, rgb = [200, 60, 90]) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const row = Buffer.concat([Buffer.from([0]), ...Array(width).fill(Buffer.from(rgb))]);
  const pixels = zlib.deflateSync(Buffer.concat(Array(height).fill(row)));
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", pixels),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

const jpeg = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16]), Buffer.from("JFIF\0\x01\x01\0\0\x01\0\x01\0\0", "latin1"), Buffer.from([0xff, 0xd9])]);
const webp = Buffer.concat([Buffer.from("RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0", "latin1")]);
const mp4 = Buffer.concat([Buffer.from("\0\0\0\x18ftypisom\0\0\x02\0isommp41\0\0\0\x08mdat", "latin1")]);

const files = {
  "picture.png": ["image/png", () => png()],
  "picture.jpg": ["image/jpeg", () => jpeg],
  "picture.webp": ["image/webp", () => webp],
  "video.mp4": ["video/mp4", () => mp4],
  "wrong.png": ["image/png", () => Buffer.from("<html>this is no picture</html>")],
  "page.html": ["text/html", () => Buffer.from("<!doctype html><title>Not here</title><p>Sorry.")],
  "empty.png": ["image/png", () => Buffer.alloc(0)],
};

/**
 * GET /files/<name>, /files/big.png?size=BYTES (a PNG's first bytes, then zeros),
 * /redirect/<n>?to=ADDRESS (n redirects before it), /loop.
 */
export function handlePictures(request, world) {
  if (request.method !== "GET" && request.method !== "HEAD") return null;
  if (request.path === "/loop") return { status: 302, headers: { location: "/loop" }, body: "" };
  const redirect = /^\/redirect\/(\d+)$/.exec(request.path);
  if (redirect) {
    const to = request.query.get("to") ?? `${world.origin}/files/picture.png`;
    const left = Number(redirect[1]) - 1;
    const location = left > 0 ? `/redirect/${left}?to=${encodeURIComponent(to)}` : to;
    return { status: 302, headers: { location }, body: "" };
  }
  if (!request.path.startsWith("/files/")) return null;
  const name = request.path.slice("/files/".length).replace(/^[^/]*\//, ""); // "/files/<anything>/picture.png" too
  if (name === "big.png") {
    const body = Buffer.alloc(Number(request.query.get("size") ?? 1024));
    png().copy(body);
    return { status: 200, headers: { "content-type": "image/png" }, body };
  }
  if (!(name in files)) return { status: 404, headers: { "content-type": "text/plain" }, body: "no such file" };
  return { status: 200, headers: { "content-type": files[name][0] }, body: files[name][1]() };
}

/** The address that a provider's result names, as the control asked for it. */
export function resultAddress(world, kind = "picture.png") {
  const id = world.nextId();
  switch (world.control.result) {
    case "redirect":
      return `${world.origin}/redirect/2?to=${encodeURIComponent(`${world.origin}/files/${id}/${kind}`)}`;
    case "redirect-other":
      return `${world.origin}/redirect/1?to=${encodeURIComponent(`${world.otherOrigin}/files/${id}/${kind}`)}`;
    case "loop":
      return `${world.origin}/loop`;
    case "wrong":
      return `${world.origin}/files/${id}/wrong.png`;
    case "missing":
      return `${world.origin}/files/${id}/missing.png`;
    case "jpeg":
      return `${world.origin}/files/${id}/picture.jpg`;
    case "webp":
      return `${world.origin}/files/${id}/picture.webp`;
    default:
      return `${world.origin}/files/${id}/${kind}`;
  }
}
