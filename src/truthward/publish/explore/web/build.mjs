// Makes ../page.html, ../LICENSES.txt and ../built.py from the files of this folder.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const SOURCES = /\.(js|mjs|css|html|json)$/;
const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

// tests/publish/test_explore_built.py computes the same.
function digest() {
  const hash = createHash("sha256");
  for (const name of readdirSync(new URL(".", import.meta.url))
    .filter((n) => SOURCES.test(n))
    .sort()) {
    hash.update(`${name}\n`).update(read(name));
  }
  return hash.digest("hex");
}

async function bundled(entry) {
  const options = { bundle: true, minify: true, write: false, metafile: true, legalComments: "none" };
  const made = await build({ entryPoints: [entry], format: "iife", target: "es2022", charset: "utf8", ...options });
  return { text: made.outputFiles[0].text.trim(), files: Object.keys(made.metafile.inputs) };
}

// The texts of the licences of all packages of which something is in the page.
function licences(files) {
  const folders = files.map((f) => f.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean);
  const parts = [...new Set(folders)].sort().map((name) => {
    const folder = `node_modules/${name}`;
    const { version, license } = JSON.parse(read(`${folder}/package.json`));
    const file = readdirSync(new URL(folder, import.meta.url)).find((f) => /^licen[cs]e/i.test(f));
    return `${name} ${version} (${license})\n\n${file ? read(`${folder}/${file}`).trim() : ""}\n`;
  });
  return `explore.html holds parts of these packages:\n\n${parts.join("\n----\n\n")}`;
}

process.chdir(new URL(".", import.meta.url).pathname);
const [script, style] = [await bundled("main.js"), await bundled("style.css")];
const texts = licences(script.files);
const hash = createHash("sha256").update(script.text).digest("base64");
const parts = {
  script: script.text,
  style: style.text,
  hash,
  built: digest(),
  licences: texts.replaceAll("<", "&lt;"),
};
const page = read("page.html").replace(/\{\{(\w+)\}\}/g, (_, name) => parts[name]);
writeFileSync("../page.html", page);
writeFileSync("../LICENSES.txt", texts);
const pageDigest = createHash("sha256").update(page).digest("hex");
const doc = '"""The digest of `page.html`, so that a new page is a change of this package. Made by `web/build.mjs`."""';
writeFileSync("../built.py", `${doc}\n\nPAGE = "${pageDigest}"\n`);
console.log(`page.html: ${page.length} characters`);
