import { closeSync, mkdirSync, openSync, statSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { MqError } from '@raftmq/base';

const SOCKET_NAME = 'lock.sock';
/** Longest socket path that all systems take. */
const SOCKET_PATH_BYTES_MAX = 100;
const ASK_TIMEOUT_MS = 1000;

/** Keeps other processes out of a data directory until it is released or the process ends, however it ends. */
export interface DirectoryLock {
  release(): Promise<void>;
}

/**
 * Takes the data directory for this process. The lock is a listening socket, so the kernel releases it with the
 * process and no stale lock is left to judge:
 *
 * 1. on Linux an abstract socket named after the directory's device and inode: exclusive, without leftovers, and it
 *    orders two processes that start at the same time;
 * 2. `<data>/lock.sock`, which also keeps out containers that share the directory but not the network. A socket file
 *    that nobody listens on is left over and replaced.
 *
 * It does not keep out another machine that mounts the same directory.
 * @throws MqError DATA_DIRECTORY_LOCKED naming the process that holds it
 */
export async function lockDataDirectory(dataDirectory: string): Promise<DirectoryLock> {
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const directoryFd = openSync(dataDirectory, 'r');
  const servers: Server[] = [];
  let released = false;
  const release = async (): Promise<void> => {
    if (released) return;
    released = true;
    for (const server of servers.splice(0).reverse()) {
      await new Promise((resolve) => server.close(resolve));
    }
    closeSync(directoryFd); // Not before: closing a server removes its file by the path it was given.
  };
  try {
    if (process.platform === 'linux') {
      const { dev, ino } = statSync(dataDirectory);
      const name = `\0raftmq-data-${dev}-${ino}`;
      servers.push(await listen(name, dataDirectory, name));
    }
    const path = socketPath(dataDirectory, directoryFd);
    const holder = await holderOf(path);
    if (holder !== null) throw locked(dataDirectory, holder);
    servers.push(await listen(path, dataDirectory, path));
  } catch (error) {
    await release();
    throw error;
  }
  return { release };
}

/** The path of the socket file, short enough for the system. */
function socketPath(dataDirectory: string, directoryFd: number): string {
  const path = `${dataDirectory}/${SOCKET_NAME}`;
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  if (process.platform === 'linux') return `/proc/self/fd/${directoryFd}/${SOCKET_NAME}`;
  throw new MqError(
    'CONFIG_INVALID',
    `the path of the data directory ${dataDirectory} is too long for a lock; use a shorter one`,
  );
}

async function listen(address: string, dataDirectory: string, askAt: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined); // The one who asked has gone.
    socket.end(String(process.pid));
  });
  server.unref();
  const code = await new Promise<string | null>((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(address, () => resolve(null));
  });
  if (code === null) return server;
  if (code === 'EADDRINUSE') throw locked(dataDirectory, (await ask(askAt)).holder);
  throw new MqError(
    'DATA_DIRECTORY_LOCKED',
    `cannot lock the data directory ${dataDirectory}: ${code}`,
  );
}

/** Who listens on the socket file; removes a file that nobody listens on. */
async function holderOf(path: string): Promise<string | null> {
  const { code, holder } = await ask(path);
  if (code === 'ENOENT') return null;
  if (code !== 'ECONNREFUSED') return holder;
  unlinkSync(path);
  return null;
}

/** Asks the holder of a lock for its pid. */
function ask(address: string): Promise<{ readonly code: string | null; readonly holder: string }> {
  return new Promise((resolve) => {
    let holder = '';
    const socket = connect(address);
    const done = (code: string | null): void => {
      socket.destroy();
      resolve({
        code,
        holder: /^\d+$/.test(holder) ? `process ${holder}` : 'a process that does not answer',
      });
    };
    socket.setTimeout(ASK_TIMEOUT_MS, () => done(null));
    socket.on('data', (data) => (holder += data.toString('latin1')));
    socket.on('end', () => done(null));
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
  });
}

function locked(dataDirectory: string, holder: string): MqError {
  return new MqError(
    'DATA_DIRECTORY_LOCKED',
    `${dataDirectory} is in use by ${holder}. Stop that process, or give this one another data directory.`,
  );
}
