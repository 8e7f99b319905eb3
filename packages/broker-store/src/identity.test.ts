import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { nodeDisk } from '@raftmq/base';
import { createIdentity, readIdentity } from './identity.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftmq-identity-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const me = { cluster: 'c', group: 'g', nodeId: 1 };
const create = () => createIdentity(nodeDisk, directory, me, 1234);

describe('identity', () => {
  it('is null in a new directory, then what was created, with another incarnation each time', async () => {
    expect(await readIdentity(nodeDisk, directory, me)).toBeNull();
    const first = await create();
    expect(first).toMatchObject({ ...me, createdAtMs: 1234, formatVersion: 1 });
    expect(first.incarnation).toMatch(/^[0-9a-f]{16}$/);
    expect(await readIdentity(nodeDisk, directory, me)).toEqual(first);
    expect(existsSync(join(directory, 'identity.json.tmp'))).toBe(false);
    expect((await create()).incarnation).not.toBe(first.incarnation);
  });

  it.each([
    [{ cluster: 'other' }, 'cluster differs'],
    [{ group: 'other' }, 'group differs'],
    [{ nodeId: 2 }, 'nodeId differs'],
  ])('refuses the directory of another node, %j', async (difference, reason) => {
    await create();
    await expect(readIdentity(nodeDisk, directory, { ...me, ...difference })).rejects.toMatchObject(
      {
        code: 'DATA_DIRECTORY_MISMATCH',
        message: expect.stringMatching(`node 1 of group "g" in cluster "c".*${reason}`),
      },
    );
  });

  it('refuses every single damaged byte', async () => {
    const identity = await create();
    const path = join(directory, 'identity.json');
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at]! ^= 0x02;
      writeFileSync(path, bad);
      const outcome = await readIdentity(nodeDisk, directory, me).catch(
        (error: { code: string }) => error.code,
      );
      // A flipped blank may still be JSON; then the content is the same.
      if (typeof outcome === 'object') expect(outcome).toEqual(identity);
      else expect(['DATA_DIRECTORY_MISMATCH', 'VERSION_UNSUPPORTED']).toContain(outcome);
    }
  });

  it('refuses the directory of a newer version', async () => {
    const identity = await create();
    writeFileSync(
      join(directory, 'identity.json'),
      JSON.stringify({ ...identity, formatVersion: 2 }),
    );
    await expect(readIdentity(nodeDisk, directory, me)).rejects.toMatchObject({
      code: 'VERSION_UNSUPPORTED',
    });
  });
});
