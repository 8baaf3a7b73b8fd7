import assert from "node:assert/strict";

/** The Admin API has a token and a read-only token; there is a plugin, in a database. */
export default async function ({ facts, open, openView }) {
  const page = await open();
  const token = page.getByLabel("Token of the Admin API");
  await token.fill("wrong-token-0123456789");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").filter({ hasText: /\S/ }).waitFor();
  assert.equal(await page.getByRole("navigation", { name: "Views" }).count(), 0);

  await token.fill(facts.read_only_token);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Now" }).waitFor();
  await page.getByText("read-only").waitFor();

  await openView(page, "configuration/plugins");
  await page.getByRole("link", { name: /file-log/ }).click();
  await page.getByLabel("instance_name").waitFor();
  assert.equal(await page.getByLabel("instance_name").getAttribute("readonly"), "");
  assert.equal(await page.getByRole("button", { name: /Review|Delete/ }).count(), 0);

  // Nothing that a script of another page or a later user could find has the token.
  const kept = await page.evaluate(() => [location.href, document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)]);
  assert.ok(!kept.join().includes(facts.read_only_token));
  const [cookie] = await page.context().cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes(facts.read_only_token));

  await page.getByRole("button", { name: "Log out" }).click();
  await token.waitFor();
  await token.fill(facts.token);
  await page.keyboard.press("Enter");
  await openView(page, "configuration/plugins");
  await page.getByRole("link", { name: /file-log/ }).click();
  await page.getByRole("button", { name: "Review the change…" }).waitFor();
}

export const allowed = [/Failed to load resource: .*\b401\b/];
