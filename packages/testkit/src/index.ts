export {
  DevCluster,
  eventually,
  raftmq,
  runCommand,
  runNode,
  type ClusterNode,
  type CommandResult,
  type DevClusterOptions,
  type RaftStatus,
} from './fixtures/dev-cluster.js';
