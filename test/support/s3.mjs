// s3.mjs: one bucket of an S3-compatible server, in memory, as strict as the real ones: path-style
// addresses, every request signed by Signature Version 4 (in the header or in the query), checked here
// by the published rules and not by our own code; ListObjectsV2 in pages, DeleteObjects only with
// Content-MD5, presigned addresses that expire.
//
//   const s3 = await startS3({ tls: {key, cert} })   // tls: optional
//   s3.settings      S3_… for the server under test
//   s3.objects       Map: key -> {body, type, modified: Date}
//   s3.log           [{method, path, query, code}]; code: of the refusal, or ""
//   s3.control       {fail: status for the next `failCount` requests, stall: true, now: () => ms}
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import http from "node:http";
import https from "node:https";

const ID = "AKIDTEST";
const SECRET = "a secret+of/the=bucket";
const BUCKET = "pictures";
const SKEW_MS = 15 * 60 * 1000;

const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
const escapeXml = (text) => text.replace(/[<>&'"]/g, (c) => `&#${c.charCodeAt(0)};`);
const unescapeXml = (text) => text.replace(/&(?:#(\d+)|(amp|lt|gt|quot|apos));/g, (_, number, name) => (number ? String.fromCodePoint(number) : { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" }[name]));

class Refusal extends Error {
  constructor(status, code, message = code) {
    super(message);
    Object.assign(this, { status, code });
  }
}

/** "20260108T160000Z" as milliseconds. */
function readDate(text) {
  const m = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text ?? "");
  if (!m) throw new Refusal(403, "AccessDenied", "no date");
  return Date.UTC(m[1], m[2] - 1, m[3], m[4], m[5], m[6]);
}

function same(a, b) {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function signatureOf({ method, path, pairs, headers, names, payload, date, scope, region }) {
  const query = pairs.map(([name, value]) => [encode(name), encode(value)]).sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : 1)).map((pair) => pair.join("=")).join("&");
  const lines = names.map((name) => `${name}:${String(headers[name] ?? "").trim().replace(/ +/g, " ")}\n`).join("");
  const canonical = [method, path, query, lines, names.join(";"), payload].join("\n");
  const key = ["s3", "aws4_request"].reduce(hmac, hmac(hmac("AWS4" + SECRET, date.slice(0, 8)), region));
  return hmac(key, ["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n")).toString("hex");
}

function checkScope(credential, date) {
  const [id, day, region, service, end, ...more] = credential.split("/");
  if (id !== ID) throw new Refusal(403, "InvalidAccessKeyId");
  if (day !== date.slice(0, 8) || service !== "s3" || end !== "aws4_request" || more.length > 0) throw new Refusal(403, "AuthorizationHeaderMalformed");
  return { region, scope: [day, region, service, end].join("/") };
}

/** Throws unless the request is signed as it should be; `now` in ms. */
function authenticate(request, path, pairs, body, now) {
  const { headers, method } = request;
  const query = Object.fromEntries(pairs);
  if (query["X-Amz-Signature"] !== undefined) {
    if (query["X-Amz-Algorithm"] !== "AWS4-HMAC-SHA256") throw new Refusal(400, "AuthorizationQueryParametersError");
    const date = query["X-Amz-Date"], expires = Number(query["X-Amz-Expires"]);
    if (!(expires >= 1 && expires <= 604800)) throw new Refusal(400, "AuthorizationQueryParametersError");
    if (now > readDate(date) + expires * 1000) throw new Refusal(403, "AccessDenied", "Request has expired");
    const names = query["X-Amz-SignedHeaders"].split(";");
    if (!names.includes("host")) throw new Refusal(403, "AccessDenied", "host is not signed");
    const rest = pairs.filter(([name]) => name !== "X-Amz-Signature");
    const expected = signatureOf({ method, path, pairs: rest, headers, names, payload: "UNSIGNED-PAYLOAD", date, ...checkScope(query["X-Amz-Credential"], date) });
    if (!same(expected, query["X-Amz-Signature"])) throw new Refusal(403, "SignatureDoesNotMatch");
    return;
  }
  const m = /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(headers.authorization ?? "");
  if (!m) throw new Refusal(403, "AccessDenied", "not signed");
  const date = headers["x-amz-date"], names = m[2].split(";"), payload = headers["x-amz-content-sha256"];
  if (Math.abs(readDate(date) - now) > SKEW_MS) throw new Refusal(403, "RequestTimeTooSkewed");
  for (const name of ["host", ...Object.keys(headers).filter((header) => header.startsWith("x-amz-") || header === "content-md5")])
    if (!names.includes(name)) throw new Refusal(403, "AccessDenied", `${name} is not signed`);
  if (names.join() !== [...names].sort().join()) throw new Refusal(403, "AuthorizationHeaderMalformed");
  if (payload === "UNSIGNED-PAYLOAD") {
    if (!request.socket.encrypted) throw new Refusal(400, "InvalidRequest", "an unsigned payload needs TLS");
  } else if (payload !== sha256(body)) {
    throw new Refusal(400, "XAmzContentSHA256Mismatch");
  }
  const expected = signatureOf({ method, path, pairs, headers, names, payload, date, ...checkScope(m[1], date) });
  if (!same(expected, m[3])) throw new Refusal(403, "SignatureDoesNotMatch");
}

export async function startS3({ tls } = {}) {
  const s3 = { objects: new Map(), log: [], control: {} };
  const now = () => s3.control.now?.() ?? Date.now();

  function list(query) {
    if (query["list-type"] !== "2") throw new Refusal(400, "InvalidArgument", "list-type=2 only");
    const prefix = query.prefix ?? "", max = Math.min(Number(query["max-keys"] ?? 1000), 1000);
    const after = query["continuation-token"] ? Buffer.from(query["continuation-token"], "base64").toString() : "";
    const keys = [...s3.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, max), isTruncated = keys.length > max;
    const contents = page.map((key) => `<Contents><Key>${escapeXml(key)}</Key><LastModified>${s3.objects.get(key).modified.toISOString()}</LastModified><Size>${s3.objects.get(key).body.length}</Size></Contents>`);
    const token = isTruncated ? `<NextContinuationToken>${Buffer.from(page.at(-1)).toString("base64")}</NextContinuationToken>` : "";
    return `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${BUCKET}</Name><Prefix>${escapeXml(prefix)}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>${max}</MaxKeys><IsTruncated>${isTruncated}</IsTruncated>${contents.join("")}${token}</ListBucketResult>`;
  }

  function deleteMany(request, body) {
    const md5 = request.headers["content-md5"];
    if (!md5 && !Object.keys(request.headers).some((name) => name.startsWith("x-amz-checksum-"))) throw new Refusal(400, "InvalidRequest", "Missing required header for this request: Content-MD5");
    if (md5 && md5 !== createHash("md5").update(body).digest("base64")) throw new Refusal(400, "BadDigest");
    const keys = [...body.toString().matchAll(/<Object>\s*<Key>([^<]*)<\/Key>\s*<\/Object>/g)].map((match) => unescapeXml(match[1]));
    if (keys.length === 0 || keys.length > 1000) throw new Refusal(400, "MalformedXML");
    for (const key of keys) s3.objects.delete(key);
    const isQuiet = /<Quiet>true<\/Quiet>/.test(body);
    return `<?xml version="1.0" encoding="UTF-8"?>\n<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${isQuiet ? "" : keys.map((key) => `<Deleted><Key>${escapeXml(key)}</Key></Deleted>`).join("")}</DeleteResult>`;
  }

  /** {status, type, body} or a Refusal. */
  function carryOut(request, path, pairs, body) {
    const query = Object.fromEntries(pairs), method = request.method;
    const [, bucket, ...rest] = path.split("/");
    const key = decodeURIComponent(rest.join("/"));
    authenticate(request, path, pairs, body, now());
    if (bucket !== BUCKET) throw new Refusal(404, "NoSuchBucket");
    if (key === "" && method === "GET") return { status: 200, type: "application/xml", body: list(query) };
    if (key === "" && method === "POST" && "delete" in query) return { status: 200, type: "application/xml", body: deleteMany(request, body) };
    if (method === "PUT" && key !== "") {
      if (request.headers["content-length"] === undefined) throw new Refusal(411, "MissingContentLength");
      s3.objects.set(key, { body, type: request.headers["content-type"] ?? "binary/octet-stream", modified: new Date(now()) });
      return { status: 200 };
    }
    const object = s3.objects.get(key);
    if (!object) throw new Refusal(404, "NoSuchKey");
    if (method === "GET" || method === "HEAD") return { status: 200, type: object.type, body: object.body };
    throw new Refusal(405, "MethodNotAllowed");
  }

  function answer(request, response, body) {
    const [path, query = ""] = request.url.split("?");
    const pairs = query === "" ? [] : query.split("&").map((pair) => [pair.split("=")[0], pair.split("=").slice(1).join("=")].map(decodeURIComponent));
    const entry = { method: request.method, path, query: Object.fromEntries(pairs), code: "", size: body.length };
    s3.log.push(entry);
    try {
      if (s3.control.failCount > 0) {
        s3.control.failCount--;
        throw new Refusal(s3.control.fail, "InternalError");
      }
      const result = carryOut(request, path, pairs, body);
      response.writeHead(result.status, result.type ? { "Content-Type": result.type } : {});
      response.end(request.method === "HEAD" ? undefined : result.body);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      entry.code = error.code;
      response.writeHead(error.status, { "Content-Type": "application/xml" });
      response.end(`<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${error.code}</Code><Message>${escapeXml(error.message)}</Message></Error>`);
    }
  }

  const listener = (request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => s3.control.stall || answer(request, response, Buffer.concat(pieces)));
  };
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  s3.endpoint = `${tls ? "https" : "http"}://127.0.0.1:${server.address().port}`;
  s3.credentials = { accessKeyId: ID, secretAccessKey: SECRET };
  s3.bucket = BUCKET;
  s3.settings = { S3_ENDPOINT: s3.endpoint, S3_BUCKET_NAME: BUCKET, S3_ACCESS_KEY_ID: ID, S3_SECRET_ACCESS_KEY: SECRET };
  s3.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return s3;
}
