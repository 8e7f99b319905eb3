import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { recordScript } from './testing/interaction.js';

// Golden scripts: `REWRITE=1 npx jest --selectProjects unit packages/raft/src/core/interaction` records them again;
// a person reads the difference.
const directory = join(__dirname, 'testdata');
const scripts = readdirSync(directory).filter((file) => file.endsWith('.txt'));

describe('scripts', () => {
  test.each(scripts)('%s', (file) => {
    const path = join(directory, file);
    const written = readFileSync(path, 'utf8');
    const recorded = recordScript(written);
    if (process.env['REWRITE'] === '1') writeFileSync(path, recorded);
    else expect(recorded).toBe(written);
  });
});
