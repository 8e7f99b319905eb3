import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { errorText, MqError } from '@raftmq/base';

/** Where a server's certificate comes from: the operator's files, or a directory for one that we make ourselves. */
export type TlsSource =
  | { readonly certificateFile: string; readonly keyFile: string }
  | { readonly selfSignedDirectory: string };

/** A certificate chain and its private key, PEM. Never log the key. */
export interface Certificate {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

const CERTIFICATE_FILE = 'server-cert.pem';
const KEY_FILE = 'server-key.pem';
const VALID_YEARS = 10;

/**
 * Reads the certificate; in self-signed mode makes it at the first start and keeps it (key with mode 0600), so that it
 * stays the same over restarts.
 * @throws MqError CONFIG_INVALID when a file cannot be read or written
 */
export async function loadCertificate(source: TlsSource): Promise<Certificate> {
  if ('certificateFile' in source) {
    return {
      certificate: await readPem(source.certificateFile),
      key: await readPem(source.keyFile),
    };
  }
  const certificateFile = join(source.selfSignedDirectory, CERTIFICATE_FILE);
  const keyFile = join(source.selfSignedDirectory, KEY_FILE);
  try {
    return { certificate: await readFile(certificateFile), key: await readFile(keyFile) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new MqError('CONFIG_INVALID', `cannot read the certificate: ${errorText(error)}`, {
        cause: error,
      });
    }
  }
  const made = await makeSelfSigned();
  try {
    await mkdir(source.selfSignedDirectory, { recursive: true, mode: 0o700 });
    await writeWhole(keyFile, made.key);
    await writeWhole(certificateFile, made.certificate);
  } catch (error) {
    throw new MqError(
      'CONFIG_INVALID',
      `cannot keep the self-signed certificate: ${errorText(error)}`,
      { cause: error },
    );
  }
  return made;
}

async function readPem(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new MqError('CONFIG_INVALID', `cannot read the TLS file ${path}: ${errorText(error)}`, {
      cause: error,
    });
  }
}

async function writeWhole(path: string, bytes: Buffer): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, bytes, { mode: 0o600 });
  await chmod(temporary, 0o600);
  await rename(temporary, path);
}

/** An ECDSA P-256 certificate for this host and for loopback. The library is loaded only here: it is large. */
async function makeSelfSigned(): Promise<Certificate> {
  const { generate } = await import('selfsigned');
  const notBeforeDate = new Date();
  const notAfterDate = new Date(notBeforeDate);
  notAfterDate.setFullYear(notAfterDate.getFullYear() + VALID_YEARS);
  const made = await generate([{ name: 'commonName', value: 'RaftMQ' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate,
    notAfterDate,
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true, keyEncipherment: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 2, value: hostname() },
          { type: 7, ip: '127.0.0.1' },
          { type: 7, ip: '::1' },
        ],
      },
    ],
  });
  return { certificate: Buffer.from(made.cert), key: Buffer.from(made.private) };
}
