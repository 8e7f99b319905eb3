export {
  ManualClock,
  MemoryLog,
  MemoryQueueIndex,
  MemoryStateStore,
  settle,
  SingleNode,
  unexpectedFatal,
  type Applies,
} from '../state/single-node.js';
