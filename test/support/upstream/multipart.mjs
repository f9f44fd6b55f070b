// multipart.mjs: multipart/form-data read strictly (RFC 7578): a body that a real server would
// stumble over is an error here.

/** @returns {{name, filename?, type?, data: Buffer}[]}; throws an Error that says what is wrong */
export function parseMultipart(contentType, body) {
  const boundary = /^multipart\/form-data;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))$/.exec(contentType ?? "");
  if (!boundary) throw new Error(`content type '${contentType}' is not multipart/form-data`);
  const dash = Buffer.from(`--${boundary[1] ?? boundary[2]}`);
  const parts = [];
  if (body.indexOf(dash) !== 0) throw new Error("the body does not begin with the boundary");
  let at = dash.length;
  while (body.toString("latin1", at, at + 2) === "\r\n") {
    const headEnd = body.indexOf("\r\n\r\n", at);
    if (headEnd < 0) throw new Error("a part without an end of its headers");
    const part = readHead(body.toString("utf8", at + 2, headEnd));
    const next = body.indexOf(Buffer.concat([Buffer.from("\r\n"), dash]), headEnd + 2);
    if (next < 0) throw new Error("a part without an end");
    part.data = body.subarray(headEnd + 4, Math.max(next, headEnd + 4));
    parts.push(part);
    at = next + 2 + dash.length;
  }
  if (body.toString("latin1", at).replace(/\r\n$/, "") !== "--") throw new Error("no last boundary");
  return parts;
}

function readHead(head) {
  const part = {};
  for (const line of head.split("\r\n")) {
    const [name, value] = [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()];
    if (name === "content-type") part.type = value;
    if (name !== "content-disposition") continue;
    if (!value.startsWith("form-data;")) throw new Error("a part that is no form-data");
    part.name = /[; ]name="([^"]*)"/.exec(value)?.[1];
    part.filename = /filename="([^"]*)"/.exec(value)?.[1];
  }
  if (part.name === undefined) throw new Error("a part without a name");
  return part;
}

/** Plain fields by name (a second one of a name is an error), and the file parts. */
export function formOf(request) {
  const fields = {};
  const files = [];
  for (const part of parseMultipart(request.headers["content-type"], request.body)) {
    if (part.filename !== undefined) files.push(part);
    else if (part.name in fields) throw new Error(`field '${part.name}' comes twice`);
    else fields[part.name] = part.data.toString("utf8");
  }
  return { fields, files };
}
