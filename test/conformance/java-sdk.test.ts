import { javaSdk } from './harness/java.js';
import { conformanceSuite } from './harness/suite.js';

conformanceSuite(javaSdk);
