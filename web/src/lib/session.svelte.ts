import { call, get, whenLoggedOut } from "./api";
import type { Session } from "./types";

class SessionState {
  current = $state.raw<Session | null>(null);
  error = $state<string | null>(null);

  /** Whether the page shows its views. */
  get open(): boolean {
    return this.current !== null && this.current.login !== "needed";
  }

  /** Whether this session may replay, drop and write. */
  get mayWrite(): boolean {
    return this.open && this.current?.role !== "read-only";
  }

  async load(): Promise<void> {
    try {
      this.current = await get<Session>("/session");
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }

  async login(token: string): Promise<void> {
    this.current = await call<Session>("POST", "/session", { token });
  }

  async logout(): Promise<void> {
    await call("DELETE", "/session");
    await this.load();
  }
}

export const session = new SessionState();
whenLoggedOut(() => void session.load());
