import { type SettingsMessage } from '@raftmq/protocol';
import { loadMessage, type MessageCodec } from '@raftmq/rpc';

/** `apache.rocketmq.v2.TelemetryCommand`, decoded. `command` names the member of the oneof that is present. */
export interface TelemetryCommand {
  readonly status?: { readonly code: number; readonly message: string } | null;
  readonly command?: string;
  readonly settings?:
    (SettingsMessage & { readonly clientProperties?: Readonly<Record<string, string>> }) | null;
}

let codec: MessageCodec<TelemetryCommand> | null = null;

/** The codec of Telemetry's messages, loaded at first use. */
export function telemetryCommandCodec(): MessageCodec<TelemetryCommand> {
  codec ??= loadMessage<TelemetryCommand>('apache.rocketmq.v2.TelemetryCommand');
  return codec;
}
