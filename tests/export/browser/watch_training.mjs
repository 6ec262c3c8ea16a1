// Watches a training through its viewer in headless Chromium, pauses it, turns the scene, saves, and lets it go on.
// Usage: CHROMIUM=/usr/bin/chromium node watch_training.mjs URL FOLDER, which then holds paused.png, turned.png, normal.png
// (the scene without the controls) and page.png. Prints what the page said as JSON.
import path from "node:path";
import { chromium } from "playwright-core";

const [url, output] = process.argv.slice(2);
// Right of it are the controls, above it what the page remarks.
const scene = { x: 40, y: 240, width: 560, height: 380 };
const patience = 150_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 640 } });
  page.setDefaultTimeout(patience);
  const errors = [];
  const asked = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  // Pictures inside the page have addresses, too, but no host.
  page.on("request", (request) => request.url().startsWith("http") && asked.push(new URL(request.url()).hostname));
  // The training may still have to open its window.
  for (const end = Date.now() + patience; ; ) {
    try {
      await page.goto(url);
      break;
    } catch (error) {
      if (Date.now() > end || !String(error).includes("ERR_CONNECTION_REFUSED")) throw error;
      await page.waitForTimeout(200);
    }
  }
  const button = (name) => page.getByRole("button", { name, exact: true });
  const enabled = (name) => page.waitForFunction(
    (text) => [...document.querySelectorAll("button")].some((item) => item.innerText.trim() === text && !item.disabled),
    name,
  );

  // What is shown has come to rest when it stays as it is for longer than a picture in a pause takes.
  const shot = (name) => page.screenshot({ clip: scene, path: name && path.join(output, name) });
  const settled = async (before, name) => {
    for (const end = Date.now() + patience; Date.now() < end; ) {
      const one = await shot();
      await page.waitForTimeout(3000);
      const other = await shot(name);
      if (one.equals(other) && !(before && before.equals(other))) return other;
    }
    throw new Error(`the scene did not change and come to rest: ${name}`);
  };

  await button("Pause").click();
  await enabled("Resume");
  await page.getByText("Cameras of the last batch").click();
  const paused = await settled(null, "paused.png");
  await page.mouse.move(320, 320);
  await page.mouse.down();
  await page.mouse.move(470, 300, { steps: 5 });
  await page.mouse.up();
  await page.mouse.wheel(0, -400);
  const turned = await settled(paused, "turned.png");
  await page.locator('input[role=combobox][value="rgb"]').click();
  await page.getByRole("option", { name: "normal", exact: true }).click();
  await settled(turned, "normal.png");
  await button("Checkpoint now").click();
  const notice = await page.getByText(/step-\d+\.ckpt/).first().innerText();
  await page.getByText("Cameras of the last batch").click();
  await page.waitForTimeout(1500);
  await page.screenshot({ path: path.join(output, "page.png") });
  await button("Resume").click();
  await enabled("Pause");
  console.log(JSON.stringify({ notice, errors, hosts: [...new Set(asked)] }));
} finally {
  await browser.close();
}
