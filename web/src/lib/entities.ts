// The kinds of entities that the page lists, and how it names them.
import { get } from "./api";
import { ofPlugin, type Schema } from "./schema";
import type { Entity } from "./types";

export const KINDS = ["services", "routes", "consumers", "plugins"] as const;
export type Kind = (typeof KINDS)[number];

export const SINGULAR: Record<Kind, string> = {
  services: "service",
  routes: "route",
  consumers: "consumer",
  plugins: "plugin",
};

interface Page {
  data: Entity[];
  offset?: string | null;
}

/** Entities are fetched in pages of this size, which is Kong's largest. */
const SIZE = 1000;

export async function listPage(
  kind: string,
  offset: string | null,
): Promise<{ data: Entity[]; offset: string | null }> {
  const query = new URLSearchParams({ size: String(SIZE), ...(offset ? { offset } : {}) });
  const page = await get<Page>(`/admin/${kind}?${query}`);
  return { data: page.data, offset: page.offset ?? null };
}

const schemas = new Map<string, Promise<Schema>>();

function schema(name: string): Promise<Schema> {
  let known = schemas.get(name);
  if (!known) {
    known = get<Schema>(`/admin/schemas/${name}`);
    known.catch(() => schemas.delete(name));
    schemas.set(name, known);
  }
  return known;
}

/** The schema of a kind; of a plugin with its own fields. */
export async function schemaOf(kind: Kind, plugin: string | null): Promise<Schema> {
  if (kind !== "plugins" || !plugin) return schema(kind);
  const [all, own] = await Promise.all([schema("plugins"), schema(`plugins/${encodeURIComponent(plugin)}`)]);
  return ofPlugin(all, own);
}

/** The names of the plugins that the service has. */
export async function pluginNames(): Promise<string[]> {
  const root = await get<{ plugins: { available_on_server: Record<string, unknown> } }>("/admin/");
  return Object.keys(root.plugins.available_on_server).sort();
}

const string = (value: unknown) => (typeof value === "string" ? value : "");

/** How an entity is called: by its name, or else by its id. */
export function nameOf(kind: string, entity: Entity): string {
  if (kind === "plugins") return [string(entity.name), string(entity.instance_name)].filter(Boolean).join(" ");
  return string(entity.name) || string(entity.username) || string(entity.custom_id) || entity.id;
}

function list(value: unknown): string {
  return Array.isArray(value) ? value.map(String).join(", ") : "";
}

/** What the list shows of an entity beside its name: a column each. */
export const COLUMNS: Record<Kind, { title: string; of: (entity: Entity, name: (id: unknown) => string) => string }[]> =
  {
    services: [
      {
        title: "URL",
        of: (service) =>
          `${string(service.protocol)}://${string(service.host)}:${String(service.port ?? "")}${string(service.path)}`,
      },
      { title: "Tags", of: (service) => list(service.tags) },
    ],
    routes: [
      { title: "Methods", of: (route) => list(route.methods) || "all" },
      {
        title: "Matches",
        of: (route) => [list(route.hosts), list(route.paths), string(route.expression)].filter(Boolean).join(" · "),
      },
      { title: "Service", of: (route, name) => name(route.service) },
    ],
    consumers: [
      { title: "Custom id", of: (consumer) => string(consumer.custom_id) },
      { title: "Tags", of: (consumer) => list(consumer.tags) },
    ],
    plugins: [
      {
        title: "Applies to",
        of: (plugin, name) =>
          (["route", "service", "consumer", "consumer_group"] as const)
            .filter((scope) => plugin[scope])
            .map((scope) => `${scope.replace("_", " ")} ${name(plugin[scope])}`)
            .join(", ") || "everything",
      },
      { title: "Tags", of: (plugin) => list(plugin.tags) },
    ],
  };
