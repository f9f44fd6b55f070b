// receiver.mjs: who is told of a job's end: an HTTP server that checks each webhook as its real
// receivers do, with the standardwebhooks package of npm. Where npm cannot fetch that, it checks by
// its own code, written from the same specification, and `judge` says so.
//
//   const receiver = await startReceiver({ secret, format })   // secret undefined: nothing is checked
//   receiver.url(path)   where to send
//   receiver.posts       [{path, headers, body, json, id, refusal}]; refusal: "" or why it is none of ours
//   receiver.answers     statuses of the next answers; then 204
//   receiver.judge       "standardwebhooks" or "our own code"
import { createHmac, timingSafeEqual } from "node:crypto";
import http from "node:http";
import { listen } from "./harness.mjs";
import { fetchPackages } from "./npm.mjs";

const TOLERANCE_S = 5 * 60;

/** The package's class, once per test file; undefined where npm cannot fetch it. */
let installed;
const install = async () => (await fetchPackages("standardwebhooks"))?.("standardwebhooks").Webhook;

/** The same rules, in our own words: throws what is wrong. */
class OwnWebhook {
  constructor(secret, { format } = {}) {
    this.key = format === "raw" ? Buffer.from(secret) : Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  }
  verify(body, headers) {
    const id = headers["webhook-id"], at = headers["webhook-timestamp"], signatures = headers["webhook-signature"];
    if (!id || !at || !signatures) throw new Error("a header is missing");
    if (!(Math.abs(Date.now() / 1000 - Number(at)) <= TOLERANCE_S)) throw new Error("the timestamp is too far away");
    const expected = createHmac("sha256", this.key).update(`${id}.${at}.${body}`).digest();
    const isOurs = signatures.split(" ").some((signature) => {
      const [version, text] = signature.split(",");
      const got = Buffer.from(text ?? "", "base64");
      return version === "v1" && got.length === expected.length && timingSafeEqual(got, expected);
    });
    if (!isOurs) throw new Error("no matching signature");
    return JSON.parse(body);
  }
}

/** Why this is no webhook signed with the secret; "" when it is. */
function refusalOf(Webhook, secret, format, body, headers) {
  try {
    const old = "sha256=" + createHmac("sha256", secret).update(body).digest("hex");
    if (headers["x-webhook-signature"] !== old) return "x-webhook-signature is wrong";
    new Webhook(secret, format && { format }).verify(body, headers);
    return "";
  } catch (error) {
    return error.message || String(error);
  }
}

export async function startReceiver({ secret, format } = {}) {
  installed ??= install();
  const Webhook = secret === undefined ? undefined : await installed;
  const receiver = {
    posts: [],
    answers: [],
    judge: Webhook ? "standardwebhooks" : "our own code",
    /** The judge's verdict on what came, or on something made of it. */
    refusal: (body, headers, otherSecret = secret) => refusalOf(Webhook ?? OwnWebhook, otherSecret, format, body, headers),
  };
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const body = Buffer.concat(pieces).toString("utf8"), { headers } = request;
      const post = { path: request.url, method: request.method, headers, body, id: headers["webhook-id"] };
      post.refusal = secret === undefined ? "" : receiver.refusal(body, headers);
      try {
        post.json = JSON.parse(body);
      } catch {
        post.json = undefined;
      }
      receiver.posts.push(post);
      response.writeHead(post.refusal === "" ? receiver.answers.shift() ?? 204 : 401);
      response.end();
    });
  });
  receiver.port = await listen(server);
  receiver.url = (where = "/hook") => `http://127.0.0.1:${receiver.port}${where}`;
  receiver.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return receiver;
}
