import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import {
  createPrng,
  isMqError,
  nodeDisk,
  type Clock,
  type Lifecycle,
  type Logger,
} from '@raftmq/base';
import {
  CommitLog,
  createIdentity,
  FileQueueIndex,
  KvStateStore,
  lockDataDirectory,
  MessageIndex,
  openRocksDb,
  readIdentity,
  type Identity,
  type QueueIndex,
} from '@raftmq/broker-store';
import {
  BootManifest,
  FileHardStateStore,
  PeerBook,
  RaftDriver,
  TcpTransport,
  type HardStateStore,
  type Transport,
} from '@raftmq/raft';
import { readBootId } from './boot-id.js';
import { joinHostPort, type Peer } from './config.js';
import { WatchedStateMachine } from './ops/watched-state-machine.js';
import { type BrokerSettings } from './settings.js';
import { Checkpoints } from './state/checkpoints.js';
import { RecentSends } from './state/recent-sends.js';
import { openBrokerState } from './state/recovery.js';
import { type BrokerStateMachine } from './state/state-machine.js';
import { collectTerms } from './state/terms.js';

export interface ReplicaOptions {
  readonly settings: BrokerSettings;
  /** Ascending by id; empty for a group of one. */
  readonly peers: readonly Peer[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lifecycle: Lifecycle;
  readonly onFatal: (error: unknown) => void;
  /** Role, term, leader or topics changed. */
  readonly changed: () => void;
}

/** One replica's data and its part in Raft, opened and not yet taking part. */
export interface Replica {
  readonly identity: Identity;
  readonly log: CommitLog;
  readonly queueIndex: QueueIndex;
  readonly messageIndex: MessageIndex;
  readonly state: BrokerStateMachine;
  /** What the driver drives: the state with an ear for changes. */
  readonly watched: WatchedStateMachine;
  readonly checkpoints: Checkpoints;
  readonly transport: Transport;
  readonly driver: RaftDriver;
}

/**
 * Opens the data directory and everything in it, and builds the driver over it. Each part is registered with the
 * lifecycle as soon as it is open, so a failure half-way leaves nothing behind.
 * @throws MqError DATA_DIRECTORY_LOCKED, DATA_DIRECTORY_MISMATCH, LOG_CORRUPTED, VERSION_UNSUPPORTED, DISK_FAILED
 */
export async function openReplica(given: ReplicaOptions): Promise<Replica> {
  const { settings, clock, logger, lifecycle } = given;
  const { dataDir, cluster, group, nodeId } = settings;
  const lock = await lockDataDirectory(dataDir);
  lifecycle.opened('data directory lock', () => lock.release());
  const expected = { cluster, group, nodeId };
  const known = await readIdentity(nodeDisk, dataDir, expected);
  const mustExist = known !== null;
  const manifest = await openManifest(given, mustExist);
  const onFatal = (error: unknown): void => {
    if (isMqError(error) && error.code === 'DISK_FAILED') manifest.diskFailed(error);
    given.onFatal(error);
  };
  const options: ReplicaOptions = { ...given, onFatal };

  const log = await CommitLog.open({
    disk: nodeDisk,
    directory: `${dataDir}/commitlog`,
    config: settings,
    logger,
    clock,
    mustExist,
    onFailure: onFatal,
  });
  lifecycle.opened('commit log', async () => {
    await log.close();
    manifest.flushed();
  });
  const hardState = await openHardState(options, mustExist);
  const book = await openPeerBook(options, mustExist, () => identity.incarnation);
  // Only a directory that has all three, log, votes and peers, gets an identity: from then on none may be missing.
  const identity = known ?? (await createIdentity(nodeDisk, dataDir, expected, clock.wallMs()));

  const queueIndex = await FileQueueIndex.open({ disk: nodeDisk, directory: `${dataDir}/queues` });
  lifecycle.opened('queue index', () => queueIndex.close());
  const stateStore = new KvStateStore(await openRocksDb(`${dataDir}/state`));
  lifecycle.opened('state store', () => stateStore.close());
  const { sendDedupWindowMs, sendDedupMax, sendDedupRebuildBytes } = settings;
  const isOff = sendDedupWindowMs === 0 || sendDedupMax === 0;
  const state = await openBrokerState({
    stateStore,
    queueIndex,
    log,
    logger,
    recentSends: isOff ? null : new RecentSends(settings, randomBytes(8)),
    sendDedupRebuildBytes,
    onFatal,
  });
  const messageIndex = await MessageIndex.open({
    disk: nodeDisk,
    directory: `${dataDir}/index`,
    log,
    appliedIndex: state.appliedIndex,
    collect: collectTerms,
    clock,
    logger,
  });
  lifecycle.opened('message index', () => messageIndex.close());
  state.setTermSink(messageIndex);
  const checkpoints = new Checkpoints({
    state,
    queueIndex,
    messageIndex,
    stateStore,
    log,
    clock,
    logger,
    settings,
    onFatal,
  });
  lifecycle.opened('checkpoints', () => checkpoints.stop());

  const transport = openTransport(options, book, () => log.lastIndex > 0);
  const watched = new WatchedStateMachine(state, options.changed);
  const driver = new RaftDriver({
    id: nodeId,
    voters: options.peers.length === 0 ? [nodeId] : options.peers.map((peer) => peer.nodeId),
    config: { ...settings, core: settings },
    log,
    hardState,
    standing: book,
    memory: manifest,
    transport,
    stateMachine: watched,
    clock,
    random: createPrng(randomBytes(6).readUIntBE(0, 6)),
    logger,
    onFatal,
  });
  lifecycle.opened('raft', () => driver.stop());
  return {
    identity,
    log,
    queueIndex,
    messageIndex,
    state,
    watched,
    checkpoints,
    transport,
    driver,
  };
}

/** How the last run ended. Opened before the log and closed after it. */
async function openManifest(options: ReplicaOptions, isKnown: boolean): Promise<BootManifest> {
  const { settings, logger, lifecycle } = options;
  const manifest = await BootManifest.open({
    disk: nodeDisk,
    directory: `${settings.dataDir}/raft`,
    logger,
    isKnown,
    bootId: await readBootId(settings.bootIdFile, logger),
    unsynced: settings.flushDiskType === 'ASYNC_FLUSH',
    trustLog: settings.trustLogAfterPowerCut,
    mark: (path, text) => writeFileSync(path, text),
  });
  lifecycle.opened('boot manifest', () => manifest.close());
  return manifest;
}

/** Term and vote, read now: the driver is given what was read. */
async function openHardState(options: ReplicaOptions, mustExist: boolean): Promise<HardStateStore> {
  const { settings, logger, lifecycle } = options;
  const directory = `${settings.dataDir}/raft`;
  const store = new FileHardStateStore({ disk: nodeDisk, directory, mustExist, logger });
  lifecycle.opened('term and vote', () => store.close());
  const loaded = await store.load();
  return { load: () => Promise.resolve(loaded), save: (state) => store.save(state) };
}

/** What this replica and its peers know of each other. */
async function openPeerBook(
  options: ReplicaOptions,
  mustExist: boolean,
  incarnation: () => string,
): Promise<PeerBook> {
  const { settings, peers, logger, lifecycle, onFatal } = options;
  const book = await PeerBook.open({
    disk: nodeDisk,
    directory: `${settings.dataDir}/raft`,
    logger,
    peers: peers.map((peer) => peer.nodeId).filter((id) => id !== settings.nodeId),
    mustExist,
    incarnation,
    session: randomBytes(8).toString('hex'),
    onFailure: onFatal,
  });
  lifecycle.opened('peer book', () => book.close());
  return book;
}

function openTransport(options: ReplicaOptions, book: PeerBook, hasLog: () => boolean): Transport {
  const { settings, peers, logger, clock } = options;
  if (peers.length <= 1) return loneTransport;
  return new TcpTransport({
    cluster: settings.cluster,
    group: settings.group,
    nodeId: settings.nodeId,
    book,
    hasLog,
    host: settings.host,
    port: settings.raftPort,
    peers: new Map(peers.map((peer) => [peer.nodeId, joinHostPort(peer.raftHost, peer.raftPort)])),
    logger,
    clock,
  });
}

/** A group of one has nobody to talk to, and opens no port. */
const loneTransport: Transport = {
  start: () => Promise.resolve(),
  send: () => undefined,
  isConnected: () => false,
  stop: () => Promise.resolve(),
};
