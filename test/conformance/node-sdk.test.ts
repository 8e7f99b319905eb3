import { nodeSdk } from './harness/node.js';
import { conformanceSuite } from './harness/suite.js';

conformanceSuite(nodeSdk);
