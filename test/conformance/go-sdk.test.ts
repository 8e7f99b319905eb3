import { goSdk } from './harness/go.js';
import { conformanceSuite } from './harness/suite.js';

conformanceSuite(goSdk);
