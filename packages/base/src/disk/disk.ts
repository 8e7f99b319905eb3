/**
 * The file system as RaftMQ sees it. Production uses `nodeDisk`; the simulator has one that loses what was not synced.
 *
 * Paths use `/`. A promise of a write resolves when the bytes are *written* (the kernel has them); only `sync` makes
 * what was written before its call *durable*. After a rejected `write` or `sync` the file must not be used again:
 * the kernel may have dropped the dirty pages (R25).
 */
export interface Disk {
  /** Opens for reading and writing. Without `create`, a missing file rejects with code ENOENT. */
  open(path: string, options: { readonly create: boolean }): Promise<DiskFile>;
  /** As `open` without `create`, in this very call: for small derived files that are read on demand. */
  openSync(path: string): DiskFile;
  /** Names in a directory, ascending, without `.` and `..`; a missing directory gives []. */
  list(directory: string): Promise<string[]>;
  exists(path: string): Promise<boolean>;
  /** Creates the directory and its parents, mode 0700; fine when it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Replaces `to` atomically. Durable only after `syncDirectory` of the parent. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Removes a directory and everything in it; fine when it is missing. */
  removeDirectory(path: string): Promise<void>;
  /** Makes creations, renames and unlinks in `directory` durable. */
  syncDirectory(directory: string): Promise<void>;
  /** Bytes used and in all on the file system of `path`. */
  usage(path: string): Promise<DiskUsage>;
}

export interface DiskUsage {
  readonly usedBytes: number;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** One open file. Calls may overlap; writes to overlapping ranges must not. */
export interface DiskFile {
  readonly path: string;
  /** Size with all writes that were *called* counted once they resolved. */
  sizeBytes(): number;
  /** Writes the buffers back to back from `position`. They must not change until it resolves. */
  write(buffers: readonly Buffer[], position: number): Promise<void>;
  /** Up to `lengthBytes` bytes; shorter only at the end of the file. The result belongs to the caller. */
  read(position: number, lengthBytes: number): Promise<Buffer>;
  /** As `read`, in this very call: for start-up and for bytes that the page cache most likely holds. */
  readSync(position: number, lengthBytes: number): Buffer;
  truncate(sizeBytes: number): Promise<void>;
  /** fdatasync: everything written before this call is durable when it resolves. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
