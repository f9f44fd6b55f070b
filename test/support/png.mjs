// png.mjs: reads a PNG strictly (PNG specification, third edition): signature, chunks in order, their
// checksums, and exactly as many pixels as the header says.
import assert from "node:assert/strict";
import zlib from "node:zlib";

const channels = { 0: 1, 2: 3, 4: 2, 6: 4 };

function crc32(data) {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** {width, height, channels, texts: {keyword: text}, rows: filtered bytes}; throws for what is no PNG. */
export function readPng(data) {
  assert.equal(data.toString("latin1", 0, 8), "\x89PNG\r\n\x1a\n", "the signature");
  const names = [];
  const pieces = [];
  const texts = {};
  let header;
  for (let at = 8; at < data.length; ) {
    const size = data.readUInt32BE(at);
    const name = data.toString("latin1", at + 4, at + 8);
    const body = data.subarray(at + 8, at + 8 + size);
    assert.equal(data.readUInt32BE(at + 8 + size), crc32(data.subarray(at + 4, at + 8 + size)), `the checksum of ${name}`);
    names.push(name);
    if (name === "IHDR") header = body;
    if (name === "IDAT") pieces.push(body);
    if (name === "tEXt") texts[body.toString("latin1", 0, body.indexOf(0))] = body.toString("latin1", body.indexOf(0) + 1);
    at += size + 12;
  }
  assert.equal(names[0], "IHDR");
  assert.equal(names.at(-1), "IEND");
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  assert.equal(header[8], 8, "bits of a sample");
  assert.equal(header[12], 0, "no interlacing");
  const count = channels[header[9]];
  const rows = zlib.inflateSync(Buffer.concat(pieces));
  const stride = width * count + 1;
  assert.equal(rows.length, stride * height, "as many pixels as the header says");
  for (let y = 0; y < height; y++) assert.ok(rows[y * stride] <= 4, "a filter that is none");
  return { width, height, channels: count, texts, rows };
}

/** The PNG of a data: URL. */
export function pngOfUrl(url) {
  const match = /^data:image\/png;base64,([A-Za-z0-9+/]+=*)$/.exec(url);
  assert.ok(match, `no data: URL of a PNG: ${String(url).slice(0, 80)}`);
  return Buffer.from(match[1], "base64");
}
