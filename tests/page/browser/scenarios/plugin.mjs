import assert from "node:assert/strict";
import { messages, receiver, sendUntil, transaction, type } from "../steps.mjs";

/** There is a service and a route, and no plugin. */
export default async function ({ facts, open, openView }) {
  const to = await receiver(facts.receiver, 200);
  try {
    const page = await open();
    await openView(page, "configuration/plugins");
    await page.getByText("There are no plugins.").waitFor();
    await page.getByRole("link", { name: "New plugin" }).click();
    await page.getByRole("button", { name: "http-log" }).click();

    // Kong's error is at its field.
    await page.getByLabel("instance_name").fill("made-here");
    await page.getByLabel("http_endpoint").fill("no address");
    await page.getByLabel(/^timeout/).fill("-1");
    await page.getByRole("button", { name: "Review the change…" }).click();
    await page.locator('[data-error="http_endpoint"]').waitFor();
    await page.locator('[data-error="timeout"]', { hasText: "value should be between" }).waitFor();

    await page.getByLabel("http_endpoint").fill(`http://127.0.0.1:${facts.receiver}/`);
    await page.getByLabel(/^timeout/).fill("3000");
    await page.getByLabel("Name of a new member of custom_fields_by_lua").fill("team");
    await page.getByRole("button", { name: "Add to custom_fields_by_lua" }).click();
    await type(page, "Lua of team", 'return "from the form"');

    await page.getByRole("button", { name: "Review the change…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("It touches 1 route: orders").waitFor();
    await dialog.getByRole("cell", { name: /http_endpoint/ }).or(dialog.getByText(/http_endpoint/)).first().waitFor();
    await dialog.getByRole("button", { name: "Apply" }).click();
    await page.getByText(/saved and active/).waitFor();
    await page.waitForURL(/plugins\/[0-9a-f-]{36}/);

    // The next message has what the form says.
    await openView(page, "messages");
    const option = messages(page, /made-here/);
    await sendUntil(facts, (number) => transaction(`/new/${number}`), option);
    await option.first().click();
    await page.locator("ins", { hasText: '"team": "from the form"' }).waitFor();
    assert.ok(to.accepted.length > 0);

    // A change of one field is one line.
    await openView(page, "configuration/plugins");
    await page.getByRole("link", { name: "http-log made-here" }).click();
    await page.getByLabel(/^timeout/).fill("4000");
    await page.getByRole("button", { name: "Review the change…" }).click();
    const rows = page.getByRole("dialog").getByRole("row");
    await rows.filter({ hasText: "3000" }).filter({ hasText: "4000" }).waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Back to the form" }).click();

    await page.getByRole("button", { name: "Delete…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
    await page.getByText("There are no plugins.").waitFor();
  } finally {
    to.close();
  }
}

// The browser itself reports answers of 400, which are the point of this scenario.
export const allowed = [/Failed to load resource: .*\b400\b/];
