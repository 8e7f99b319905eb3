import { rustSdk } from './harness/rust.js';
import { conformanceSuite } from './harness/suite.js';

conformanceSuite(rustSdk);
