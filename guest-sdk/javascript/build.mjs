// Makes a component of glue.js and what it imports. Its argument is the folder of the contract.
import { writeFileSync } from 'node:fs';
import { componentize } from '@bytecodealliance/componentize-js';

const { component } = await componentize({
  sourcePath: 'glue.js',
  witPath: process.argv[2],
  worldName: 'guest',
  disableFeatures: ['http', 'fetch-event'],
  env: { HOME: process.env.HOME },
});
writeFileSync('train.wasm', component);
