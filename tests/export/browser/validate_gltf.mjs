// Prints the glTF validator's report on the GLB file named on the command line, as JSON.
import { readFile } from "node:fs/promises";
import validator from "gltf-validator";

const bytes = await readFile(process.argv[2]);
const report = await validator.validateBytes(new Uint8Array(bytes), { maxIssues: 20 });
console.log(JSON.stringify(report));
