// A playground as the fragment of an address: compressed, and never sent to a server.

export interface Shared {
  configuration: string;
  transaction: string;
  settings?: string;
  mapping?: string;
}

/** An address that is longer is cut by some programs that pass it on. */
export const LONG_ADDRESS = 30_000;
/** What is unpacked of an address at most. */
const MOST_CHARACTERS = 4 * 1024 * 1024;

export async function pack(shared: Shared): Promise<string> {
  const stream = new Blob([JSON.stringify(shared)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** What `pack` made, or an error that says that it is not that. */
export async function unpack(text: string): Promise<Shared> {
  const wrong = new Error("the address does not hold a playground: it may have been cut");
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const reader = new Blob([bytes])
      .stream()
      .pipeThrough(new DecompressionStream("deflate-raw"))
      .pipeThrough(new TextDecoderStream())
      .getReader();
    let json = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      json += part.value;
      if (json.length > MOST_CHARACTERS) throw wrong;
    }
    const parsed = JSON.parse(json) as Partial<Shared>;
    if (typeof parsed.configuration !== "string" || typeof parsed.transaction !== "string") throw wrong;
    return parsed as Shared;
  } catch {
    throw wrong;
  }
}
