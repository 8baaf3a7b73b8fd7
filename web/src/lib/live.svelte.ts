import { get } from "./api";
import type { History, Now } from "./types";

/** What `/api/events` sends once a second, while somebody looks. */
class Live {
  now = $state.raw<Now | null>(null);
  connected = $state(false);
  private source: EventSource | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private wanted = false;

  start(): void {
    this.wanted = true;
    this.connect();
  }

  stop(): void {
    this.wanted = false;
    this.close();
    this.now = null;
  }

  /** A hidden page costs the service nothing. */
  visible(yes: boolean): void {
    if (yes && this.wanted) this.connect();
    if (!yes) this.close();
  }

  private connect(): void {
    if (this.source) return;
    const source = new EventSource("/api/events");
    this.source = source;
    source.addEventListener("now", (event: MessageEvent<string>) => {
      this.connected = true;
      this.now = JSON.parse(event.data) as Now;
    });
    source.addEventListener("error", () => {
      // A browser gives up on an answer that is no success. Asking for the session shows whether it is over.
      this.close();
      if (!this.wanted) return;
      this.retry = setTimeout(() => this.wanted && this.connect(), 2000);
      void get("/history?keys=transactions").catch(() => {});
    });
  }

  private close(): void {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
    this.connected = false;
  }
}

export const live = new Live();
document.addEventListener("visibilitychange", () => live.visible(!document.hidden));

export interface Timeline {
  from: number;
  step: number;
  series: Map<string, (number | null)[]>;
  leftOut: number;
}

/** The last hour of the series `keys`. */
export async function history(keys: string[], signal?: AbortSignal): Promise<Timeline> {
  const answer = await get<History>(`/history?keys=${encodeURIComponent(keys.join(","))}`, signal);
  return {
    from: answer.from,
    step: answer.step_seconds * 1000,
    series: new Map(answer.series.map(({ key, values }) => [key, values])),
    leftOut: answer.left_out ?? 0,
  };
}
