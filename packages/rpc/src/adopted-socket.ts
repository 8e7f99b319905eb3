import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';

/** The part of an accepted socket that Node.js keeps for itself. */
interface WithHandle {
  _handle: object | null;
}

/**
 * Takes an accepted socket over so that its bytes are read into one buffer, again and again, instead of a new one of
 * 64 KiB for each read: those are garbage outside the heap, and a server that receives 100 MB/s collects its whole heap
 * several times a second for them.
 *
 * Node.js has this for sockets that connect (`onread`), and no public way to it for sockets that were accepted: the handle
 * moves to a new socket. Where there is no such handle, the caller reads as usual.
 * @param accepted paused, nothing was read from it; of no use afterwards
 * @param received gets the number of bytes; false = no more of them
 * @returns null when it cannot be done
 */
export function adoptSocket(
  accepted: Socket,
  buffer: Buffer,
  received: (sizeBytes: number) => boolean,
): Socket | null {
  const owner = accepted as unknown as WithHandle;
  const handle = owner._handle;
  if (typeof handle !== 'object' || handle === null) return null;
  owner._handle = null;
  const onread: OnReadOpts = { buffer, callback: (sizeBytes) => received(sizeBytes) };
  // `handle` is not among the options that the types know.
  const options = { handle, onread };
  return new Socket(options as SocketConstructorOpts);
}
