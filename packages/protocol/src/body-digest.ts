import { hash } from 'node:crypto';
import { crc32 } from '@raftmq/base';
import { type BodyDigest, digestType } from './model/message.js';

/**
 * Whether a body is what its digest says. MD5 and SHA1 are hex in either case; a CRC32 may be decimal (Node.js client),
 * or hex with or without leading zeros (all others).
 *
 * @returns false for a wrong sum, an unreadable one, and a type that we do not know
 */
export function bodyMatchesDigest(body: Buffer, digest: BodyDigest): boolean {
  const checksum = digest.checksum;
  switch (digest.type) {
    case digestType.MD5:
      return hash('md5', body, 'hex') === checksum.toLowerCase();
    case digestType.SHA1:
      return hash('sha1', body, 'hex') === checksum.toLowerCase();
    case digestType.CRC32: {
      const sum = crc32(body);
      if (/^\d{1,10}$/.test(checksum) && Number(checksum) === sum) return true;
      return /^[0-9a-fA-F]{1,8}$/.test(checksum) && parseInt(checksum, 16) === sum;
    }
    default:
      return false;
  }
}
