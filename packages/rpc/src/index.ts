export {
  type CallContext,
  type ProtoHandler,
  type ProtoHandlers,
  type RawMethod,
  type RpcStream,
  type StreamListener,
  type StreamWriter,
} from './call.js';
export { loadCertificate, type Certificate, type TlsSource } from './certificate.js';
export { RpcChannel, RpcService, type CallSettings, type RpcChannelOptions } from './channel.js';
export { FrontDoor, type FrontDoorOptions, type FrontDoorProbe } from './front-door.js';
export {
  loadMessage,
  loadProto,
  loadService,
  PROTO_DIRECTORY,
  type MessageCodec,
  type ProtoMethod,
} from './load.js';
export {
  RpcServer,
  rpcServerLimits,
  type RpcServerLimits,
  type RpcServerOptions,
} from './server.js';
export { type RpcServerProbe } from './call-runner.js';
export { type ConnectionProbe } from './http2/limits.js';
export {
  defaultErrorStatus,
  isRpcError,
  RpcError,
  rpcErrorToMqError,
  rpcStatus,
  rpcStatusName,
  statusDetails,
  type RpcStatus,
} from './status.js';
