import assert from "node:assert/strict";
import { VIEWS } from "../steps.mjs";

/** From a phone to a wall of a control room. */
export default async function ({ open, openView }) {
  for (const width of [360, 768, 1280, 3840]) {
    const page = await open({ width, height: Math.max(800, Math.round(width * 0.56)) });
    const pages = [...Object.keys(VIEWS), "configuration/routes", "configuration/plugins/new?plugin=kafka-log"];
    for (const view of pages) {
      await openView(page, view);
      const { scrolled, room } = await page.evaluate(() => ({
        scrolled: document.documentElement.scrollWidth,
        room: document.documentElement.clientWidth,
      }));
      assert.ok(scrolled <= room, `${view} is ${scrolled} wide at ${width}`);
    }
    // Text grows with the screen.
    const size = await page.evaluate(() => parseFloat(getComputedStyle(document.body).fontSize));
    assert.ok(width < 3840 ? size >= 14 : size >= 20, `text of ${size} at ${width}`);
    await openView(page, "now");
    const map = page.getByRole("group", { name: /The path/ });
    await map.getByRole("button").first().waitFor();
    const texts = await map.locator("text").evaluateAll((all) => all.map((text) => text.getBoundingClientRect().height));
    assert.ok(texts.every((height) => height >= 12), `${Math.min(...texts)} at ${width}`);
    await page.context().close();
  }
}
