// Checks requests and answers against a document, with ajv as JSON Schema 2020-12:
//
//   node exchanges.mjs openapi.json exchanges.jsonl [bodies to compare at least]
//
// One exchange a line: {place, method, target, headers, requestBody, status, answerHeaders, body}.
// Owns the way from an exchange to its schemas: path template, method, status, media type. A
// request that was done (2xx) must be one that the document allows, and one whose body it does not
// allow must not have been done. Knows nothing of the bank.
import { readFileSync } from "node:fs";
import Ajv from "ajv/dist/2020.js";

const [documentPath, exchangesPath, bodiesMin = 300] = process.argv.slice(2);
const api = JSON.parse(readFileSync(documentPath, "utf8"));
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
ajv.addFormat("date-time", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
ajv.addSchema(api, "api");

const wrong = [];
let bodies = 0;
let place = "";
const fail = (what) => wrong.push(`${place}: ${what}`);

// A schema inside the document, compiled where it stands, so that its references resolve.
const compiled = new Map();
function check(value, path, what) {
  const pointer = path.map((part) => String(part).replaceAll("~", "~0").replaceAll("/", "~1"));
  const ref = "api#/" + pointer.map(encodeURIComponent).join("/");
  if (!compiled.has(ref)) compiled.set(ref, ajv.compile({ $ref: ref }));
  const validate = compiled.get(ref);
  if (validate(value)) return true;
  if (what) fail(`${what}: ${ajv.errorsText(validate.errors)}: ${JSON.stringify(value).slice(0, 300)}`);
  return false;
}

// The most literal template that a path fits.
const templates = Object.keys(api.paths).map((template) => {
  const pattern = template.split("/").map((s) => (s.startsWith("{") ? "[^/]*" : RegExp.escape?.(s) ?? s.replace(/\./g, "\\.")));
  return { template, literal: template.split("{").length, pattern: new RegExp(`^${pattern.join("/")}$`) };
});
templates.sort((a, b) => a.literal - b.literal);
function templateOf(path) {
  return templates.find(({ pattern }) => pattern.test(path))?.template;
}

function queryFits(template, method, operation, query) {
  const declared = operation.parameters.filter((parameter) => parameter.in === "query");
  for (const [name, text] of query) {
    const parameter = declared.find((candidate) => candidate.name === name);
    if (!parameter) return fail(`query parameter ${name} is not in the document`);
    const { type } = parameter.schema;
    const value = type === "integer" ? Number(text) : type === "boolean" ? text === "true" : text;
    const index = operation.parameters.indexOf(parameter);
    check(value, ["paths", template, method, "parameters", index, "schema"], `query parameter ${name}`);
  }
}

function requestFits(exchange, template, method, operation) {
  const done = exchange.status >= 200 && exchange.status < 300;
  const query = new URL("http://x" + exchange.target).searchParams;
  if (done) queryFits(template, method, operation, query);
  if (method === "get") return;
  // A body that may be left out.
  if (exchange.requestBody === "" && operation.requestBody?.required === false) return;
  const media = header({ answerHeaders: exchange.headers }, "content-type")?.split(";")[0];
  if (operation.requestBody.content["application/json"] === undefined) {
    if (done && operation.requestBody.content[media] === undefined) fail(`${media} was taken`);
    return;
  }
  let body;
  try {
    body = JSON.parse(exchange.requestBody);
  } catch {
    if (done) fail("a body that is no JSON was taken");
    return;
  }
  const path = ["paths", template, method, "requestBody", "content", "application/json", "schema"];
  const allowed = check(body, path, done ? "request body" : null);
  if (!allowed && done) fail("a body that the document does not allow was taken");
}

function header(exchange, name) {
  return exchange.answerHeaders.find(([candidate]) => candidate.toLowerCase() === name)?.[1];
}

function answerFits(exchange, template, method, operation) {
  const { status, body } = exchange;
  const media = header(exchange, "content-type");
  // What no operation can list: there is no route, or not with this method.
  if (operation === undefined) {
    if (status !== 404 && status !== 405 && status !== 400) fail(`status ${status} outside the document`);
    if (body !== "") check(JSON.parse(body), ["components", "schemas", "Problem"], "problem");
    return;
  }
  const answer = operation.responses[status];
  if (answer === undefined) return fail(`status ${status} is not in the document`);
  for (const name of ["ETag", "Location", "Link", "Foldlog-Position", "Foldlog-Hash", "Idempotency-Replayed"]) {
    if (header(exchange, name.toLowerCase()) !== undefined && answer.headers?.[name] === undefined) {
      fail(`header ${name} at status ${status} is not in the document`);
    }
  }
  if (exchange.method === "HEAD" || status === 304) return;
  if (status === 204 && body === "" && answer.content === undefined) return;
  const type = Object.keys(answer.content ?? {}).find((candidate) => candidate === media);
  if (type === undefined) return fail(`media type ${media} at status ${status} is not in the document`);
  const value = /^application\/(.+\+)?json$/.test(type) ? JSON.parse(body) : body;
  bodies += 1;
  check(value, ["paths", template, method, "responses", status, "content", type, "schema"], `body at status ${status}`);
}

for (const line of readFileSync(exchangesPath, "utf8").split("\n").filter(Boolean)) {
  const exchange = JSON.parse(line);
  place = exchange.place;
  const raw = new URL("http://x" + exchange.target).pathname.replace(/%(00|FF|2F)/gi, "_");
  const path = decodeURIComponent(raw).replace(/^\/p\/[a-z0-9][a-z0-9-]{0,62}(?=\/)/, "");
  const template = templateOf(path);
  const method = exchange.method === "HEAD" ? "get" : exchange.method.toLowerCase();
  const operation = template && api.paths[template][method];
  // Not part of the contract: there with test stamps only.
  if (/^(\/p\/[^/]+)?\/test\//.test(exchange.target)) continue;
  answerFits(exchange, template, method, operation);
  if (operation) requestFits(exchange, template, method, operation);
}

if (bodies < bodiesMin) wrong.push(`only ${bodies} bodies were compared`);
if (wrong.length > 0) {
  console.error(`${wrong.length} deviations\n` + wrong.slice(0, 40).join("\n"));
  process.exit(1);
}
console.log(`${bodies} bodies fit the document`);
