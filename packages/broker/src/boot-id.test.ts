import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { silentLogger } from '@raftmq/base';
import { readBootId } from './boot-id.js';
import { nodeSettings } from './config.js';

const directory = mkdtempSync(join(tmpdir(), 'raftmq-boot-id-'));
const path = join(directory, 'boot_id');
afterAll(() => rmSync(directory, { recursive: true }));

describe('the boot id', () => {
  it('is what the file says, without what surrounds it', async () => {
    writeFileSync(path, ' 2f7a-11\n');
    expect(await readBootId(path, silentLogger)).toBe('2f7a-11');
    writeFileSync(path, 'x'.repeat(5000));
    expect(await readBootId(path, silentLogger)).toHaveLength(64);
  });

  it('is not known without a file, or with an empty one', async () => {
    writeFileSync(path, '\n');
    expect(await readBootId(path, silentLogger)).toBeNull();
    expect(await readBootId(join(directory, 'nowhere'), silentLogger)).toBeNull();
    expect(await readBootId(directory, silentLogger)).toBeNull();
  });

  const onLinux = process.platform === 'linux' ? it : it.skip;
  onLinux('is the kernel’s by default, the same each time', async () => {
    const id = await readBootId(nodeSettings.bootIdFile.default, silentLogger);
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(await readBootId(nodeSettings.bootIdFile.default, silentLogger)).toBe(id);
  });
});
