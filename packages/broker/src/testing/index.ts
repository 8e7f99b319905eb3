export {
  ManualClock,
  MemoryLog,
  MemoryQueueIndex,
  MemoryStateStore,
  settle,
  SingleNode,
  unexpectedFatal,
  type Applies,
} from './single-node.js';
