import { goSdk } from './go.js';
import { javaSdk } from './java.js';
import { nodeSdk } from './node.js';
import { pythonSdk } from './python.js';
import { rustSdk } from './rust.js';
import { type Sdk } from './sdk.js';

/** All SDKs, in the order of the table. */
export const sdks: readonly Sdk[] = [nodeSdk, javaSdk, pythonSdk, goSdk, rustSdk];
