import assert from "node:assert/strict";
import { messages, send, sendUntil, transaction } from "../steps.mjs";

/** Everything by keys: no click in this scenario. */
export default async function ({ facts, open }) {
  const page = await open();
  await page.getByRole("heading", { level: 1, name: "Now" }).waitFor();
  await send(facts, transaction("/a"));
  const focused = () =>
    page.evaluate(() => {
      const { activeElement: element } = document;
      const inner = element?.shadowRoot?.activeElement ?? element;
      return inner?.getAttribute("aria-label") ?? inner?.querySelector?.("title")?.textContent ?? inner?.textContent?.trim() ?? "";
    });
  /** Tab until `pattern` has the focus, which is visible. */
  async function tabTo(pattern, key = "Tab") {
    for (let presses = 0; presses < 120; presses += 1) {
      await page.keyboard.press(key);
      if (!pattern.test(await focused())) continue;
      return;
    }
    throw new Error(`nothing like ${pattern} gets the focus; last was ${await focused()}`);
  }

  await tabTo(/^Skip to the content$/);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
  // A node of the map is a button.
  await tabTo(/file-log/);
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "file-log", exact: true }).waitFor();
  const outline = await page.evaluate(() => {
    const rect = document.activeElement?.querySelector("rect");
    return rect ? getComputedStyle(rect).strokeWidth : "";
  });
  assert.equal(outline, "3px", "the focus is visible");

  // A list of messages goes by arrows.
  await tabTo(/^Messages$/, "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Messages" }).waitFor();
  await sendUntil(facts, (number) => transaction(`/${number}`), messages(page));
  await tabTo(/^Messages, the newest first$/);
  await page.keyboard.press("ArrowDown");
  await page.getByRole("region", { name: "The selected message" }).waitFor();
  await page.keyboard.press("End");
  await page.locator('[role="option"][aria-selected="true"]').waitFor();

  // Tab gets into an editor, and out of it.
  await tabTo(/^Playground$/, "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("textbox", { name: "Configuration" }).waitFor();
  await tabTo(/^Transaction$/);
  await tabTo(/^Configuration$/);
  await tabTo(/^(error|warning|note|[…]|Now|Run|All lines|Only differences).*/);

  // A dialog is closed by Escape, and gives the focus back.
  await tabTo(/^History$/, "Shift+Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.match(await focused(), /^History$/);
}
