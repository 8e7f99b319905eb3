import { pythonSdk } from './harness/python.js';
import { conformanceSuite } from './harness/suite.js';

conformanceSuite(pythonSdk);
