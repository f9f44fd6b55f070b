// check.mjs: what every provider's stand-in uses to be as strict as the real one: refusals, and
// fields checked by name, presence, type and range.

/** Thrown by a handler: this answer instead of a result. `body` is sent as JSON unless it is text. */
export class Refusal extends Error {
  constructor(status, body, headers = {}) {
    super(typeof body === "string" ? body : JSON.stringify(body));
    Object.assign(this, { status, body, headers });
  }
}

const types = {
  text: (v) => typeof v === "string",
  "text+": (v) => typeof v === "string" && v.trim() !== "",
  int: (v) => Number.isInteger(v),
  number: (v) => typeof v === "number" && Number.isFinite(v),
  bool: (v) => typeof v === "boolean",
  array: (v) => Array.isArray(v),
  object: (v) => v !== null && typeof v === "object" && !Array.isArray(v),
};

/**
 * What is wrong with `fields`, in words, or null. A rule is a type's name with "?" behind it when
 * the field may be absent, or [name, check] where check(value) says what is wrong or nothing.
 */
export function problem(fields, rules) {
  for (const name of Object.keys(fields)) if (!(name in rules)) return `unknown field '${name}'`;
  for (const [name, rule] of Object.entries(rules)) {
    let [type, check] = Array.isArray(rule) ? rule : [rule];
    const isOptional = type.endsWith("?");
    type = type.replace("?", "");
    const value = fields[name];
    if (value === undefined) {
      if (!isOptional) return `missing field '${name}'`;
      continue;
    }
    if (!types[type](value)) return `field '${name}' is not of type ${type}`;
    const complaint = check?.(value);
    if (complaint) return `field '${name}' ${complaint}`;
  }
  return null;
}

/** A check for numbers. */
export const within = (low, high) => (value) =>
  value < low || value > high ? `is not within ${low} and ${high}` : null;

/** A check for texts. */
export const oneOf =
  (...allowed) =>
  (value) =>
    allowed.includes(value) ? null : `is none of ${allowed.join(", ")}`;

/** Multipart fields arrive as text: numbers that read as such become numbers. */
export function numbersFromText(fields, names) {
  const out = { ...fields };
  for (const name of names)
    if (typeof out[name] === "string" && /^-?\d+(\.\d+)?$/.test(out[name])) out[name] = Number(out[name]);
  return out;
}

/** The JSON object of a request, or a refusal in the provider's own shape. */
export function jsonBody(request, refuse) {
  if (!/^application\/json(;|$)/.test(request.headers["content-type"] ?? ""))
    throw refuse(415, `content type '${request.headers["content-type"]}' is not JSON`);
  let body;
  try {
    body = JSON.parse(request.body.toString("utf8"));
  } catch {
    throw refuse(400, "the body is not JSON");
  }
  if (!types.object(body)) throw refuse(400, "the body is not an object");
  return body;
}

/** http(s), or a data: URL that holds a picture. */
export function addressProblem(value, { allowData = true } = {}) {
  if (/^https?:\/\/[^\s]+$/.test(value)) return null;
  const match = allowData && /^data:(image\/\w+);base64,([A-Za-z0-9+/]+=*)$/.exec(value);
  if (match && sniff(Buffer.from(match[2], "base64")) === match[1]) return null;
  return "is no address of a picture";
}

/** The MIME type by the first bytes; null: no picture. */
export function sniff(data) {
  const text = data.toString("latin1", 0, 16);
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "image/png";
  if (text.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") return "image/webp";
  if (/^GIF8[79]a/.test(text)) return "image/gif";
  if (text.slice(4, 12) === "ftypavif") return "image/avif";
  return null;
}
