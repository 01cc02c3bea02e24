// node gltf_validate.mjs NODE_MODULES_PARENT FILE...: validates each GLB; fails on any error, warning or hint.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [folder, ...files] = process.argv.slice(2);
const validator = createRequire(join(resolve(folder), "x.js"))("gltf-validator");
const SEVERITY = ["error", "warning", "information", "hint"];
let failed = files.length === 0;
if (failed) console.error("usage: gltf-validator FILE...");

for (const file of files) {
  const report = await validator.validateBytes(new Uint8Array(await readFile(file)), { uri: file });
  const { numErrors, numWarnings, numInfos, numHints, messages } = report.issues;
  console.log(`${file}: ${numErrors} errors, ${numWarnings} warnings, ${numInfos} notes, ${numHints} hints`);
  for (const m of messages) console.log(`  ${SEVERITY[m.severity]} ${m.code} ${m.pointer ?? ""} ${m.message}`);
  if (numErrors + numWarnings + numHints > 0) failed = true;
}
process.exit(failed ? 1 : 0);
