// Draws openapi.json. Text goes in as text, never as markup.

const page = document.getElementById("page");

/** An element with attributes and children; strings become text. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function resolve(api, schema) {
  return schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}

/** What may stand there, in a few words. */
function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map(kind))].join(" | ");
  if (schema.type === "array") return `list of ${schema.items ? kind(schema.items) : "anything"}`;
  if (schema.type === "object" && schema.additionalProperties) {
    return `map of ${kind(schema.additionalProperties)}`;
  }
  const bounds = [
    schema.minimum !== undefined ? `≥ ${schema.minimum}` : "",
    schema.exclusiveMinimum !== undefined ? `> ${schema.exclusiveMinimum}` : "",
    schema.maximum !== undefined ? `≤ ${schema.maximum}` : "",
    schema.maxLength !== undefined ? `≤ ${schema.maxLength} characters` : "",
  ].filter(Boolean);
  return [schema.format ?? schema.type ?? "anything", ...bounds].join(" ");
}

function describe(schema) {
  const text = schema.description
    ?? schema.anyOf?.map((option) => option.description).find(Boolean) ?? "";
  return (schema.default ?? null) === null ? text : `${text} (default ${schema.default})`;
}

/** The structs below a schema that are worth a look: itself, its items, its options. */
function inner(schema) {
  if (schema.items) return inner(schema.items);
  if (schema.anyOf) return schema.anyOf.map(inner).find(Boolean);
  if (schema.additionalProperties) return inner(schema.additionalProperties);
  return schema.$ref || schema.properties ? schema : undefined;
}

/** Rows for the members of a struct, three levels deep; no struct is told inside itself. */
function* members(api, schema, depth = 0, seen = []) {
  const shape = resolve(api, schema);
  const required = new Set(shape.required ?? []);
  for (const [name, value] of Object.entries(shape.properties ?? {})) {
    yield el("tr", {},
      el("td", { class: `deep-${depth}` }, name + (required.has(name) ? "" : " ?")),
      el("td", { class: "faint" }, kind(value)),
      el("td", {}, describe(value)));
    const below = inner(value);
    if (below && depth < 3 && !seen.includes(below.$ref) && below.$ref !== schema.$ref) {
      yield* members(api, below, depth + 1, [...seen, schema.$ref]);
    }
  }
}

function shape(api, schema) {
  const rows = inner(schema) ? [...members(api, inner(schema))] : [];
  return rows.length ? el("table", {}, ...rows) : el("p", { class: "faint" }, kind(schema));
}

function parameters(operation) {
  if (!operation.parameters.length) return null;
  return el("div", {},
    el("h3", {}, "Parameters"),
    el("table", {}, ...operation.parameters.map((parameter) => el("tr", {},
      el("td", {}, parameter.name + (parameter.required ? "" : " ?")),
      el("td", { class: "faint" }, `${parameter.in}, ${kind(parameter.schema)}`),
      el("td", {}, parameter.description ?? describe(parameter.schema))))));
}

function answers(api, operation) {
  const [[status, answer], ...others] = Object.entries(operation.responses)
    .sort(([left], [right]) => left.localeCompare(right));
  const [mediaType, content] = Object.entries(answer.content)[0];
  return el("div", {},
    el("h3", {}, `${status} ${answer.description}`),
    el("p", { class: "faint" }, mediaType),
    shape(api, content.schema),
    el("h3", {}, "Otherwise"),
    el("table", {}, ...others.map(([code, other]) => el("tr", {},
      el("td", {}, code), el("td", {}, other.description)))));
}

/** A field per parameter and a button; the answer appears below. */
function tryIt(path, operation) {
  const output = el("pre", { hidden: "" });
  const fields = operation.parameters.map((parameter) => {
    const known = parameter.schema.enum
      ?? (parameter.schema.type === "boolean" ? ["true", "false"] : null);
    const attributes = { name: parameter.name, "aria-label": parameter.name };
    const field = known
      ? el("select", attributes, ...["", ...known].map((value) => el("option", {}, value)))
      : el("input", attributes);
    return [parameter, field];
  });
  const form = el("form", {},
    el("h3", {}, "Try it"),
    el("table", {}, ...fields.map(([parameter, field]) => el("tr", {},
      el("td", {}, parameter.name), el("td", {}, field)))),
    el("button", {}, "Send"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let target = path.slice(1);
    const query = new URLSearchParams();
    for (const [parameter, field] of fields) {
      if (parameter.in === "path") {
        target = target.replace(`{${parameter.name}}`, encodeURIComponent(field.value));
      } else if (field.value) {
        query.append(parameter.name, field.value);
      }
    }
    await send(query.size ? `${target}?${query}` : target, output);
  });
  return el("div", {}, form, output);
}

async function send(url, output) {
  output.hidden = false;
  output.textContent = "…";
  try {
    const begin = performance.now();
    const response = await fetch(url, { cache: "no-store" });
    const text = await response.text();
    const took = Math.round(performance.now() - begin);
    output.className = response.ok ? "" : "refused";
    const isJson = response.headers.get("Content-Type")?.includes("json");
    const body = isJson ? JSON.stringify(JSON.parse(text), null, 2) : text;
    output.textContent = `GET ${url}\n${response.status}, ${took} ms\n\n${body}`;
  } catch (error) {
    output.className = "refused";
    output.textContent = `GET ${url}\n${error}`;
  }
}

function drawOperation(api, path, method, operation) {
  const body = operation.requestBody?.content["application/json"].schema;
  const details = el("details", { class: "operation", id: operation.operationId },
    el("summary", {},
      el("span", { class: "method" }, method.toUpperCase()),
      el("span", { class: "path" }, path),
      el("span", { class: "faint" }, operation.summary)));
  // Drawn when it is opened for the first time.
  details.addEventListener("toggle", () => {
    details.append(el("div", {},
      operation.description ? el("p", {}, operation.description) : null,
      parameters(operation),
      body ? el("h3", {}, "Body") : null,
      body ? shape(api, body) : null,
      answers(api, operation),
      method === "get" ? tryIt(path, operation) : null));
  }, { once: true });
  return details;
}

function draw(api) {
  const byTag = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const [tag] = operation.tags;
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push(drawOperation(api, path, method, operation));
    }
  }
  page.replaceChildren(
    el("h1", {}, `${api.info.title} API ${api.info.version}`),
    ...api.info.description.split("\n\n").map((paragraph) => el("p", {}, paragraph)),
    el("p", {}, el("a", { href: "openapi.json" }, "openapi.json")));
  for (const [tag, operations] of byTag) page.append(el("h2", {}, tag), ...operations);
  const chosen = document.getElementById(location.hash.slice(1));
  if (chosen) chosen.open = true;
}

try {
  draw(await (await fetch("openapi.json")).json());
} catch (error) {
  page.replaceChildren(el("p", { class: "refused" }, `openapi.json cannot be read: ${error}`));
}
