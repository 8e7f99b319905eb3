import { describe, expect, test } from '@jest/globals';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = join(__dirname, '..', '..');
const packagesDirectory = join(root, 'packages');

/** Which packages of ours each package may import; `docs/architecture.md` says the same in words. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  rpc: ['base'],
  protocol: ['base', 'rpc'],
  raft: ['base'],
  'broker-store': ['base', 'protocol', 'raft'],
  namesrv: ['base', 'rpc', 'protocol', 'raft'],
  broker: ['base', 'rpc', 'protocol', 'raft', 'broker-store'],
  client: ['base', 'rpc', 'protocol'],
  cli: ['base', 'protocol', 'client'],
  testkit: ['base', 'rpc', 'protocol', 'raft', 'broker-store', 'namesrv', 'broker', 'client'],
};

function sources(directory: string): string[] {
  return readdirSync(directory, { recursive: true })
    .map((name) => join(directory, String(name)))
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts') && statSync(path).isFile());
}

function imports(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s+'([^']+)'|import\(\s*'([^']+)'/g,
  );
  return [...found].map((match) => match[1] ?? match[2]!);
}

const isTest = (path: string): boolean => path.endsWith('.test.ts');

/** Stand-ins and fixtures are kept out of what is published: whoever imports them must be kept out too. */
const isForTests = (path: string): boolean =>
  isTest(path) || path.includes('/testing/') || path.includes('/packages/testkit/');

describe('doors between packages open one way', () => {
  test('every package is on the map', () => {
    expect(readdirSync(packagesDirectory).sort()).toEqual(Object.keys(DOORS).sort());
  });

  test.each(Object.keys(DOORS))('%s imports only what it may', (name) => {
    const wrong: string[] = [];
    for (const path of sources(join(packagesDirectory, name, 'src'))) {
      for (const specifier of imports(path)) {
        const match = /^@raftmq\/([^/]+)(\/.*)?$/.exec(specifier);
        if (match === null) {
          if (
            specifier.startsWith('..') &&
            join(path, '..', specifier).includes('/packages/') === false
          )
            wrong.push(`${relative(root, path)}: ${specifier} leaves the package`);
          continue;
        }
        const [, target, door] = match;
        const allowed = DOORS[name]!.includes(target!) || (isTest(path) && target === 'testkit');
        if (!allowed) wrong.push(`${relative(root, path)}: ${specifier}`);
        const open = door === '/internal' || (door === '/testing' && isForTests(path));
        if (door !== undefined && !open)
          wrong.push(`${relative(root, path)}: ${specifier} is a deep import`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test.each(Object.keys(DOORS))(
    'package.json of %s names what its code imports, and no more of ours',
    (name) => {
      const manifest = JSON.parse(
        readFileSync(join(packagesDirectory, name, 'package.json'), 'utf8'),
      ) as { dependencies: Record<string, string> };
      const ours = Object.keys(manifest.dependencies).filter((dependency) =>
        dependency.startsWith('@raftmq/'),
      );
      expect(
        ours
          .map((dependency) => dependency.slice('@raftmq/'.length))
          .filter((target) => !DOORS[name]!.includes(target)),
      ).toEqual([]);
      const missing = new Set<string>();
      for (const path of sources(join(packagesDirectory, name, 'src')).filter(
        (file) => !isTest(file),
      )) {
        for (const specifier of imports(path)) {
          if (specifier.startsWith('.') || specifier.startsWith('node:')) continue;
          const dependency = specifier
            .split('/')
            .slice(0, specifier.startsWith('@') ? 2 : 1)
            .join('/');
          if (!Object.hasOwn(manifest.dependencies, dependency)) missing.add(dependency);
        }
      }
      expect([...missing]).toEqual([]);
    },
  );

  test('testing/ folders are for tests, and are not published', () => {
    const wrong: string[] = [];
    for (const name of Object.keys(DOORS)) {
      const directory = join(packagesDirectory, name);
      const files = sources(join(directory, 'src'));
      for (const path of files.filter((file) => !isForTests(file))) {
        for (const specifier of imports(path))
          if (/(^|\/)testing\//.test(specifier) || specifier.endsWith('/testing'))
            wrong.push(`${relative(root, path)}: ${specifier}`);
      }
      if (!files.some((path) => path.includes('/testing/'))) continue;
      const manifest = readFileSync(join(directory, 'package.json'), 'utf8');
      if (!manifest.includes('"!dist/**/testing"')) wrong.push(`${name} publishes its testing/`);
    }
    expect(wrong).toEqual([]);
  });

  test('inside raft, tcp/ alone knows sockets, and core/ knows nothing but itself and base', () => {
    const raft = join(packagesDirectory, 'raft', 'src');
    const wrong: string[] = [];
    for (const path of sources(raft).filter((file) => !isTest(file))) {
      const place = relative(raft, path);
      for (const specifier of imports(path)) {
        if (specifier === 'node:net' && !place.startsWith('tcp/'))
          wrong.push(`${place}: ${specifier}`);
        if (!place.startsWith('core/') || !specifier.startsWith('.')) continue;
        const target = relative(raft, join(path, '..', specifier));
        if (!target.startsWith('core/') && target !== 'ports.js')
          wrong.push(`${place}: ${specifier}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('exactly one file knows the RocksDB binding, and only rpc knows grpc-js', () => {
    const knowing = (pattern: RegExp): string[] =>
      Object.keys(DOORS)
        .flatMap((name) => sources(join(packagesDirectory, name, 'src')))
        .filter((path) => !isTest(path) && pattern.test(readFileSync(path, 'utf8')))
        .map((path) => relative(packagesDirectory, path));
    expect(knowing(/['"]rocksdb-native['"]/)).toEqual(['broker-store/src/kv/rocksdb-engine.ts']);
    expect(knowing(/from '@grpc\//).filter((path) => !path.startsWith('rpc/'))).toEqual([]);
  });

  test('only settings tables and entry points read the environment', () => {
    const reading = Object.keys(DOORS)
      .filter((name) => name !== 'testkit')
      .flatMap((name) => sources(join(packagesDirectory, name, 'src')))
      .filter((path) => !isTest(path) && /process\.env\b/.test(readFileSync(path, 'utf8')))
      .map((path) => relative(packagesDirectory, path))
      .filter((path) => !/\/(main|config)\.ts$/.test(path));
    expect(reading).toEqual([]);
  });
});
