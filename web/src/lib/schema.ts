// Kong's schemas, as `/schemas/...` of the Admin API has them, and what a form needs of them.

export interface Field {
  type: string;
  required?: boolean;
  default?: unknown;
  description?: string;
  one_of?: unknown[];
  between?: [number, number];
  elements?: Field;
  keys?: Field;
  values?: Field;
  fields?: Record<string, Field>[];
  reference?: string;
  referenceable?: boolean;
  encrypted?: boolean;
  auto?: boolean;
  abstract?: boolean;
  /** A value that the field must have; null for a field that cannot be set. */
  eq?: unknown;
  deprecation?: { message: string };
  since?: string;
}

export interface Schema {
  fields: Record<string, Field>[];
}

export type Values = Record<string, unknown>;

export function entries(fields: Record<string, Field>[] | undefined): [string, Field][] {
  return (fields ?? []).flatMap((one) => Object.entries(one));
}

/** The fields of a plugin: those of all plugins, with what the plugin itself says of them. */
export function ofPlugin(all: Schema, plugin: Schema): Schema {
  const own = new Map(entries(plugin.fields));
  const merged = entries(all.fields).map(([name, field]) => {
    const special = own.get(name);
    own.delete(name);
    return { [name]: special ?? field };
  });
  return { fields: [...merged, ...[...own].map(([name, field]) => ({ [name]: field }))] };
}

/** Whether a form shows the field: not what the service fills in, nor what is deprecated and not used. */
export function isShown(field: Field, value: unknown): boolean {
  if (field.auto || field.abstract || field.eq === null) return false;
  return !field.deprecation || (value !== null && value !== undefined);
}

/** The value of a field in a new entity: its default, and records with theirs. */
export function initial(field: Field): unknown {
  if (field.type === "record" && (field.required || field.default === undefined)) {
    return field.required ? initials(field.fields) : null;
  }
  return field.default === undefined ? null : structuredClone(field.default);
}

export function initials(fields: Record<string, Field>[] | undefined): Values {
  const values: Values = {};
  for (const [name, field] of entries(fields)) {
    if (isShown(field, null)) values[name] = initial(field);
  }
  return values;
}

/** An empty value of a list or a map, to begin with. */
export function blank(field: Field | undefined): unknown {
  switch (field?.type) {
    case "record":
      return initials(field.fields);
    case "array":
    case "set":
      return [];
    case "map":
      return {};
    case "boolean":
      return false;
    case "number":
    case "integer":
      return field.default ?? 0;
    default:
      return "";
  }
}

const isRecord = (value: unknown): value is Values =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const same = (a: unknown, b: unknown) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

/** What of `after` differs from `before`. Records are merged by the service; lists and maps are replaced as a whole. */
export function changes(fields: Record<string, Field>[] | undefined, before: Values, after: Values): Values {
  const body: Values = {};
  for (const [name, field] of entries(fields)) {
    const [old, now] = [before[name], after[name]];
    if (field.auto || same(old, now)) continue;
    body[name] =
      field.type === "record" && isRecord(old) && isRecord(now) ? changes(field.fields, old, now) : (now ?? null);
  }
  return body;
}

/** The body of a new entity: without what is not set. */
export function withoutNulls(values: Values): Values {
  const kept: Values = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined) continue;
    kept[name] = isRecord(value) ? withoutNulls(value) : value;
  }
  return kept;
}

/** The errors below a member: Kong nests them as the entity. Those of lists are by index, from 0 or from 1. */
export function below(errors: unknown, name: string): unknown {
  return isRecord(errors) ? errors[name] : undefined;
}

/** The text of an error that is for this field itself. */
export function messageOf(errors: unknown): string | null {
  if (typeof errors === "string") return errors;
  if (Array.isArray(errors)) {
    const texts = errors.filter((error): error is string => typeof error === "string");
    return texts.length > 0 ? texts.join("; ") : null;
  }
  if (isRecord(errors) && errors["@entity"]) return messageOf(errors["@entity"]);
  return null;
}

/** The errors of the element `index` of a list. */
export function elementErrors(errors: unknown, index: number): unknown {
  if (Array.isArray(errors)) return typeof errors[index] === "string" ? undefined : errors[index];
  return isRecord(errors) ? (errors[String(index + 1)] ?? errors[String(index)]) : undefined;
}
