import { type Sdk } from './sdk.js';
import { javaSdk } from './java.js';
import { nodeSdk } from './node.js';

/** All SDKs, in the order of the table. */
export const sdks: readonly Sdk[] = [nodeSdk, javaSdk];
