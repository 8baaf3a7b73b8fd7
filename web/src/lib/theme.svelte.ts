export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "logphase.theme";

class ThemeState {
  chosen = $state<Theme>("system");
  /** Rises with each change of the colours, for what draws by itself. */
  version = $state(0);

  constructor() {
    const stored = read();
    this.set(THEMES.find((theme) => theme === stored) ?? "system");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.version += 1));
  }

  set(theme: Theme): void {
    this.chosen = theme;
    document.documentElement.dataset.theme = theme;
    this.version += 1;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // A browser without storage forgets the choice.
    }
  }

  next(): void {
    this.set(THEMES[(THEMES.indexOf(this.chosen) + 1) % THEMES.length] ?? "system");
  }
}

function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export const theme = new ThemeState();

/** A colour of app.css as the browser computes it, for canvases. */
export function color(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const computed = getComputedStyle(probe).color;
  probe.remove();
  return computed;
}
