export const VIEWS = ["now", "messages", "playground", "configuration", "queues"] as const;
export type View = (typeof VIEWS)[number];

/** Where the page is: `#/queues/NAME?offset=20`. The fragment is never sent to the service. */
class Route {
  view = $state<View>("now");
  rest = $state<string[]>([]);
  query = $state.raw(new URLSearchParams());

  constructor() {
    this.read();
    addEventListener("hashchange", () => this.read());
  }

  private read(): void {
    const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
    const [view, ...rest] = path.split("/").map(decode);
    this.view = VIEWS.find((known) => known === view) ?? "now";
    this.rest = rest;
    this.query = new URLSearchParams(query);
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = new Route();

/** The address of a view: `link("queues", ["http-log-1"])`. */
export function link(view: View, rest: string[] = [], query: Record<string, string> = {}): string {
  const path = [view, ...rest.map(encodeURIComponent)].join("/");
  const search = new URLSearchParams(query).toString();
  return `#/${path}${search ? `?${search}` : ""}`;
}

export function go(view: View, rest: string[] = [], query: Record<string, string> = {}): void {
  location.hash = link(view, rest, query);
}
