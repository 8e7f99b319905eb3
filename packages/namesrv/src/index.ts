export { Namesrv } from './namesrv.js';
export { RouteTable, type StreamToken } from './route-table.js';
export { faultOf, type RegistrationLimits } from './registration-check.js';
export { namesrvSettings, type NamesrvConfig } from './settings.js';
