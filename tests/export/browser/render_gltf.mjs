// Draws a GLB file with three.js in headless Chromium.
// Usage: CHROMIUM=/usr/bin/chromium node render_gltf.mjs MODEL.glb CAMERA.json FOLDER, which then holds color.png and
// normal.png.
// CAMERA.json: size (pixels), fovYDegrees, cameraToWorld (16 numbers, columns first, in glTF axes).
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [model, cameraFile, output] = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".glb": "model/gltf-binary" };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
try {
  const page = await browser.newPage();
  page.on("console", (message) => message.type() === "error" && console.error(message.text()));
  page.on("pageerror", (error) => console.error(error));
  // Everything comes from disk: there is no server, and nothing else can be reached.
  await page.route("**/*", (route) => {
    const name = new URL(route.request().url()).pathname;
    const file = name === "/model.glb" ? model : path.join(here, name);
    return route.fulfill({ path: file, contentType: types[path.extname(file)] });
  });
  await page.goto("http://disk.test/page.html");
  await page.waitForFunction(() => window.draw);
  const images = await page.evaluate((camera) => window.draw(camera), JSON.parse(await readFile(cameraFile, "utf8")));
  for (const [name, url] of Object.entries(images)) {
    await writeFile(path.join(output, `${name}.png`), Buffer.from(url.split(",")[1], "base64"));
  }
} finally {
  await browser.close();
}
