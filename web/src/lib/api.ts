import type { KongError } from "./types";

/** An answer that is no success. `body` is what the service said. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly body: KongError,
  ) {
    super(body.message);
  }
}

/** What is called when the session is over: the login form takes its place. */
let onLogout: () => void = () => {};

export function whenLoggedOut(action: () => void): void {
  onLogout = action;
}

function options(method: string, body: unknown, signal: AbortSignal | undefined): RequestInit {
  const init: RequestInit = { method, credentials: "same-origin", cache: "no-store" };
  if (signal) init.signal = signal;
  if (method !== "GET") {
    // The service takes no request without these, so that no other page can send one.
    init.headers = { "Content-Type": "application/json", "X-Logphase-Page": "1" };
    init.body = JSON.stringify(body ?? {});
  }
  return init;
}

/** Sends a request and returns the response, whose status is a success. */
export async function request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`/api${path}`, options(method, body, signal));
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, { message: "the service does not answer; check that it runs" });
  }
  if (response.ok) return response;
  if (response.status === 401 && path !== "/session") onLogout();
  const text = await response.text();
  throw new ApiError(response.status, explain(response.status, text));
}

function explain(status: number, text: string): KongError {
  try {
    const parsed: unknown = JSON.parse(text);
    if (parsed && typeof parsed === "object" && "message" in parsed && typeof parsed.message === "string") {
      return parsed as KongError;
    }
  } catch {
    // No JSON: the status says what there is to say.
  }
  return { message: `the service answered with status ${status}` };
}

export async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await request(method, path, body, signal);
  const text = await response.text();
  return (text === "" ? null : JSON.parse(text)) as T;
}

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> => call<T>("GET", path, undefined, signal);
export const post = <T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> =>
  call<T>("POST", path, body, signal);

/** The text of an error, for people. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
