/** The part of `rocksdb-native` that we use; only rocksdb-engine.ts knows the binding (ADR 0002). */
declare module 'rocksdb-native' {
  export interface RocksDb {
    ready(): Promise<void>;
    get(key: Buffer): Promise<Buffer | null>;
    write(options?: { readonly capacity: number }): RocksWriteBatch;
    iterator(
      range: { readonly gte: Buffer; readonly lt?: Buffer },
      options?: { readonly capacity: number; readonly limit?: number },
    ): AsyncIterable<{ readonly key: Buffer; readonly value: Buffer }>;
    flush(): Promise<void>;
    close(): Promise<void>;
  }

  export interface RocksWriteBatch {
    tryPut(key: Buffer, value: Buffer): void;
    tryDelete(key: Buffer): void;
    flush(): Promise<void>;
    destroy(): void;
  }

  const RocksDB: new (path: string, options: object) => RocksDb;
  export default RocksDB;
}
