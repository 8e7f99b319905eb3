import { randomBytes } from 'node:crypto';
import { crc32, MqError, type Disk } from '@raftmq/base';

/** Format of the whole data directory. */
export const DATA_FORMAT_VERSION = 1;
const FILE_NAME = 'identity.json';

/** Whose data directory this is. */
export interface Identity {
  readonly cluster: string;
  readonly group: string;
  readonly nodeId: number;
  /** Drawn when the directory was made: a wiped and refilled directory is another incarnation (R22). */
  readonly incarnation: string;
  /** Wall clock of the creation, in ms since 1970. */
  readonly createdAtMs: number;
  readonly formatVersion: number;
}

/** What the configuration says about this node. */
export type ExpectedIdentity = Pick<Identity, 'cluster' | 'group' | 'nodeId'>;

/**
 * Reads `<data>/identity.json`; null when the directory has none yet.
 * @throws MqError DATA_DIRECTORY_MISMATCH when the file is damaged, or names another cluster, group or node;
 *   VERSION_UNSUPPORTED when a newer version made the directory
 */
export async function readIdentity(
  disk: Disk,
  dataDirectory: string,
  expected: ExpectedIdentity,
): Promise<Identity | null> {
  const path = `${dataDirectory}/${FILE_NAME}`;
  if (!(await disk.exists(path))) return null;
  const file = await disk.open(path, { create: false });
  let written: string;
  try {
    written = (await file.read(0, file.sizeBytes())).toString('utf8');
  } finally {
    await file.close();
  }
  const identity = decodeIdentity(path, written);
  for (const key of ['cluster', 'group', 'nodeId'] as const) {
    if (identity[key] === expected[key]) continue;
    throw new MqError(
      'DATA_DIRECTORY_MISMATCH',
      `${dataDirectory} belongs to ${describe(identity)}, this process is ${describe(expected)}: ${key} differs. ` +
        'Point dataDir to the right directory, or correct the configuration.',
    );
  }
  return identity;
}

/**
 * Makes the identity of a new data directory, durable when it resolves. Call it after the log and the votes were
 * begun: a directory with an identity must have both.
 * @param random gives that many random bytes; a seeded one makes simulations repeatable
 */
export async function createIdentity(
  disk: Disk,
  dataDirectory: string,
  expected: ExpectedIdentity,
  nowWallMs: number,
  random: (sizeBytes: number) => Buffer = randomBytes,
): Promise<Identity> {
  const identity: Identity = {
    cluster: expected.cluster,
    group: expected.group,
    nodeId: expected.nodeId,
    incarnation: random(8).toString('hex'),
    createdAtMs: nowWallMs,
    formatVersion: DATA_FORMAT_VERSION,
  };
  await disk.makeDirectory(dataDirectory);
  const path = `${dataDirectory}/${FILE_NAME}`;
  const temporary = `${path}.tmp`;
  const file = await disk.open(temporary, { create: true });
  try {
    await file.truncate(0);
    await file.write([encodeIdentity(identity)], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(dataDirectory);
  return identity;
}

/** What the file may hold before it is checked. */
type WrittenIdentity = Partial<Record<keyof Identity | 'checksum', unknown>>;

function encodeIdentity(identity: Identity): Buffer {
  const checksum = checksumOf(identity);
  return Buffer.from(`${JSON.stringify({ ...identity, checksum }, null, 2)}\n`, 'utf8');
}

function decodeIdentity(path: string, written: string): Identity {
  let value: WrittenIdentity | null = null;
  try {
    value = JSON.parse(written) as WrittenIdentity | null;
  } catch {
    // Judged below, together with JSON that is no identity.
  }
  if (typeof value !== 'object' || value === null) throw damaged(path);
  const { cluster, group, nodeId, incarnation, createdAtMs, formatVersion, checksum } = value;
  if (typeof formatVersion === 'number' && formatVersion > DATA_FORMAT_VERSION) {
    throw new MqError(
      'VERSION_UNSUPPORTED',
      `${path} has format version ${formatVersion}, this program reads ${DATA_FORMAT_VERSION}; start the newer version`,
    );
  }
  if (typeof cluster !== 'string' || typeof group !== 'string' || typeof nodeId !== 'number')
    throw damaged(path);
  if (
    typeof incarnation !== 'string' ||
    typeof createdAtMs !== 'number' ||
    typeof formatVersion !== 'number'
  ) {
    throw damaged(path);
  }
  const identity = { cluster, group, nodeId, incarnation, createdAtMs, formatVersion };
  if (checksum !== checksumOf(identity)) throw damaged(path);
  return identity;
}

/** CRC-32 of the values in a fixed order, as eight hexadecimal digits. */
function checksumOf(identity: Identity): string {
  const { cluster, group, nodeId, incarnation, createdAtMs, formatVersion } = identity;
  const text = JSON.stringify([cluster, group, nodeId, incarnation, createdAtMs, formatVersion]);
  return crc32(Buffer.from(text, 'utf8')).toString(16).padStart(8, '0');
}

function describe({ cluster, group, nodeId }: ExpectedIdentity): string {
  return `node ${nodeId} of group "${group}" in cluster "${cluster}"`;
}

function damaged(path: string): MqError {
  return new MqError(
    'DATA_DIRECTORY_MISMATCH',
    `${path} is damaged or was edited, so it is not known whose data this is. Put back a copy of this file, or ` +
      'start with an empty data directory.',
  );
}
