// What several scenarios do.
import assert from "node:assert/strict";
import { createServer } from "node:http";

/** Every view of the page, with a heading that it has. */
export const VIEWS = {
  now: "Now",
  messages: "Messages",
  playground: "Playground",
  configuration: "Configuration",
  queues: "Queues and dead letters",
};

/** Shows a view by its address, and waits until it is there. */
export async function openView(page, facts, view) {
  await page.goto(`${facts.page}/#/${view}`);
  const heading = VIEWS[view.split(/[/?]/)[0]];
  await page.getByRole("heading", { level: 1, name: heading, exact: true }).waitFor();
}

/** Sends transactions to the service. */
export async function send(facts, ...transactions) {
  const body = transactions.map((transaction) => JSON.stringify(transaction)).join("\n");
  const headers = { "Content-Type": "application/x-ndjson" };
  const answer = await fetch(`http://127.0.0.1:${facts.http}/`, { method: "POST", body, headers });
  assert.equal(answer.status, 200, await answer.text());
}

export function transaction(uri, status = 200) {
  return {
    request: { method: "GET", uri, headers: { host: "a.example", cookie: "secret=1" } },
    response: { status },
    route: { name: "orders" },
    latencies: { request: 12 },
  };
}

/** The messages in the list; the filter's choices are options, too. */
export function messages(page, name = /./) {
  return page.getByRole("listbox").getByRole("option", { name });
}

/** Sends transactions until the page shows what they lead to. */
export async function sendUntil(facts, make, locator) {
  for (let number = 0; number < 200; number += 1) {
    await send(facts, make(number));
    if (await locator.first().isVisible()) return;
    await new Promise((done) => setTimeout(done, 200));
  }
  throw new Error("the page does not show it");
}

/** A receiver of http-log at a port, which answers with `status` and keeps what it accepts. */
export async function receiver(port, status) {
  const accepted = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      if (own.status < 300) accepted.push(...[JSON.parse(body)].flat());
      response.writeHead(own.status).end();
    });
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  const own = { status, accepted, close: () => server.close() };
  return own;
}

/** Replaces the text of an editor. */
export async function type(page, label, text) {
  const editor = page.getByRole("textbox", { name: label, exact: true });
  await editor.click();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(text);
}
